/*
 * What the programs that run for a while have in common: a clock, Ctrl-C, and
 * whether somebody is looking. Include it before anything else.
 */
#ifndef LIVE_H
#define LIVE_H

#ifndef _WIN32
#define _POSIX_C_SOURCE 200809L /* clock_gettime, isatty */
#endif

#include <signal.h>
#include <stdint.h>
#include <stdlib.h>

#ifdef _WIN32
#include <windows.h>
#ifndef ENABLE_VIRTUAL_TERMINAL_PROCESSING
#define ENABLE_VIRTUAL_TERMINAL_PROCESSING 0x0004
#endif
#else
#include <time.h>
#include <unistd.h>
#endif

/* Set by Ctrl-C. Waits here are short, so a loop sees it soon, and the program
 * ends as it always does. A second Ctrl-C ends it at once. */
static volatile sig_atomic_t interrupted;

static void interrupt(int number)
{
    (void)number;
    signal(SIGINT, SIG_DFL);
    interrupted = 1;
}

static void heed_ctrl_c(void)
{
    signal(SIGINT, interrupt);
}

/* Milliseconds, by a clock that never jumps. */
static int64_t now_ms(void)
{
#ifdef _WIN32
    return (int64_t)GetTickCount64();
#else
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
#endif
}

/* For how long a program runs, out of an argument; -1 if it is none. */
static long seconds_of(const char *text)
{
    char *rest;
    long seconds = strtol(text, &rest, 10);
    return *text != '\0' && *rest == '\0' && seconds >= 0 && seconds <= 1000000 ? seconds : -1;
}

/* When that is over; 0 seconds is until Ctrl-C. */
static int64_t end_after(long seconds)
{
    return seconds == 0 ? INT64_MAX : now_ms() + (int64_t)seconds * 1000;
}

/* Whether stdout is a terminal that understands where to put the cursor. */
static inline int is_terminal(void)
{
#ifdef _WIN32
    HANDLE console = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD mode = 0;
    return GetConsoleMode(console, &mode)
        && SetConsoleMode(console, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
#else
    return isatty(STDOUT_FILENO);
#endif
}

#endif
