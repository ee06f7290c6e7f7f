/*
 * A small Excel add-in over kotak_neo.dll, with two worksheet functions:
 *
 *     =KNEO.LOGIN("/state", 1)         waits for the login
 *     =KNEO.LOGIN.ASYNC("/state", 1)   lets Excel go on meanwhile
 *
 * Each logs in with TOTP and MPIN and gives one field of kneo_session_info, found
 * by JSON Pointer. No token is among them: a cell is saved with the workbook. For
 * the same reason the credentials are not arguments but environment variables:
 * KNEO_CONFIG, KNEO_MOBILE_NUMBER, KNEO_UCC, KNEO_TOTP_SECRET, KNEO_MPIN.
 *
 * The second argument numbers the attempt. Excel calculates a cell whenever it
 * likes, so the answer of an attempt is kept, good or bad: only a new number
 * logs in again. A wrong MPIN repeated by a recalculation would lock the account.
 *
 * kotak_neo.dll is loaded by its full path from the folder of the add-in; the
 * loader would look beside EXCEL.EXE otherwise.
 */
#include "excel12.h"
#include "kotak_neo.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __declspec(dllexport)

enum { CLOSE_MS = 5000 };

/* ---- the way to Excel -------------------------------------------------- */

static int call_excel(int function, excel_value *result, int count, excel_value **arguments)
{
    excel_door door;
    FARPROC found = GetProcAddress(GetModuleHandleW(NULL), "MdCallBack12");
    if (found == NULL)
        return EXCEL_FAILED;
    memcpy(&door, &found, sizeof door);
    return door(function, count, arguments, result);
}

/* ---- values for cells ---------------------------------------------------- */

static void set_error(excel_value *value, int error)
{
    value->is.error = error;
    value->kind = VALUE_ERROR;
}

/* A text, which its owner frees; #VALUE! when no cell holds it. */
static void set_text(excel_value *value, const char *utf8)
{
    int room = MultiByteToWideChar(CP_UTF8, 0, utf8, -1, NULL, 0); /* with the NUL */
    wchar_t *text = NULL;
    if (room > 0 && room <= LONGEST_TEXT + 1)
        text = malloc(((size_t)room + 1) * sizeof *text);
    if (text == NULL) {
        set_error(value, ERROR_CELL_VALUE);
        return;
    }
    MultiByteToWideChar(CP_UTF8, 0, utf8, -1, text + 1, room);
    text[0] = (wchar_t)(room - 1);
    value->is.text = text;
    value->kind = VALUE_TEXT;
}

/* ---- the library --------------------------------------------------------- */

static HMODULE library;

static struct {
    int32_t (*shutdown)(int32_t);
    int32_t (*response_status)(const kneo_response *);
    const char *(*response_message)(const kneo_response *);
    const char *(*response_field)(const kneo_response *, const char *);
    void (*response_free)(kneo_response *);
    kneo_response *(*client_open)(const char *, kneo_client **);
    void (*client_free)(kneo_client *);
    kneo_response *(*totp_generate)(const char *);
    kneo_response *(*totp_login)(kneo_client *, const char *, const char *, const char *);
    kneo_response *(*totp_validate)(kneo_client *, const char *);
    kneo_response *(*session_info)(kneo_client *);
} kneo;

static int find(const char *name, void *pointer)
{
    FARPROC found = GetProcAddress(library, name);
    memcpy(pointer, &found, sizeof found);
    return found != NULL;
}

static HMODULE own_module(DWORD flags)
{
    HMODULE module = NULL;
    GetModuleHandleExW(flags | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                       (const wchar_t *)(const void *)&library, &module);
    return module;
}

static int load_library(void)
{
    static const wchar_t name[] = L"kotak_neo.dll";
    wchar_t path[MAX_PATH];
    DWORD size = GetModuleFileNameW(own_module(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT), path,
                                    MAX_PATH);
    while (size > 0 && size < MAX_PATH && path[size - 1] != L'\\')
        size--;
    if (size == 0 || size + sizeof name / sizeof *name > MAX_PATH)
        return 0;
    memcpy(path + size, name, sizeof name);

    library = LoadLibraryExW(path, NULL, LOAD_WITH_ALTERED_SEARCH_PATH);
    return library != NULL
        && find("kneo_shutdown", &kneo.shutdown)
        && find("kneo_response_status", &kneo.response_status)
        && find("kneo_response_message", &kneo.response_message)
        && find("kneo_response_field", &kneo.response_field)
        && find("kneo_response_free", &kneo.response_free)
        && find("kneo_client_open", &kneo.client_open)
        && find("kneo_client_free", &kneo.client_free)
        && find("kneo_totp_generate", &kneo.totp_generate)
        && find("kneo_totp_login", &kneo.totp_login)
        && find("kneo_totp_validate", &kneo.totp_validate)
        && find("kneo_session_info", &kneo.session_info);
}

/* ---- the login ----------------------------------------------------------- */

/* What the last attempt gave: how the session is, or what failed. The lock is
 * held while it runs. */
static SRWLOCK attempt_lock = SRWLOCK_INIT;
static struct {
    int done;
    int number;
    kneo_response *response;
} attempt;

static volatile LONG closing;

/* An environment variable as UTF-8, or "". The caller frees it. */
static char *variable(const wchar_t *name)
{
    DWORD wide_size = GetEnvironmentVariableW(name, NULL, 0);
    wchar_t *wide = calloc(wide_size + 1, sizeof *wide);
    if (wide == NULL)
        return NULL;
    GetEnvironmentVariableW(name, wide, wide_size);
    int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = size > 0 ? malloc((size_t)size) : NULL;
    if (text != NULL)
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
    SecureZeroMemory(wide, wide_size * sizeof *wide);
    free(wide);
    return text;
}

static void free_secret(char *text)
{
    if (text != NULL)
        SecureZeroMemory(text, strlen(text));
    free(text);
}

/* Keeps a response as the outcome of the attempt; says whether it is good. */
static int keep(kneo_response *response)
{
    kneo.response_free(attempt.response);
    attempt.response = response;
    return kneo.response_status(response) == KNEO_OK;
}

static kneo_response *totp_login(kneo_client *client, const char *mobile_number, const char *ucc,
                                 const char *secret)
{
    kneo_response *made = kneo.totp_generate(secret);
    if (kneo.response_status(made) != KNEO_OK)
        return made;
    kneo_response *answer = kneo.totp_login(client, mobile_number, ucc,
                                            kneo.response_field(made, "/totp"));
    kneo.response_free(made);
    return answer;
}

static void log_in(void)
{
    char *config = variable(L"KNEO_CONFIG");
    char *mobile_number = variable(L"KNEO_MOBILE_NUMBER");
    char *ucc = variable(L"KNEO_UCC");
    char *secret = variable(L"KNEO_TOTP_SECRET");
    char *mpin = variable(L"KNEO_MPIN");
    kneo_client *client = NULL;
    if (keep(kneo.client_open(config, &client))
        && keep(totp_login(client, mobile_number, ucc, secret))
        && keep(kneo.totp_validate(client, mpin)))
        keep(kneo.session_info(client));
    kneo.client_free(client);
    free_secret(config);
    free_secret(mobile_number);
    free_secret(ucc);
    free_secret(secret);
    free_secret(mpin);
}

static void set_failure(excel_value *value)
{
    const char *message = kneo.response_message(attempt.response);
    size_t room = strlen(message) + 32;
    char *text = malloc(room);
    if (text == NULL) {
        set_error(value, ERROR_CELL_VALUE);
        return;
    }
    snprintf(text, room, "Kotak Neo, status %d: %s",
             (int)kneo.response_status(attempt.response), message);
    set_text(value, text);
    free(text);
}

/* A field of the session as it stands in its JSON; #N/A where there is none. */
static void set_field(excel_value *value, const char *pointer)
{
    const char *found = kneo.response_field(attempt.response, pointer);
    if (found != NULL)
        set_text(value, found);
    else
        set_error(value, ERROR_CELL_NA);
}

/* The cell's value: a field of the session, or a text that says what failed. */
static void answer(const char *pointer, int number, excel_value *value)
{
    AcquireSRWLockExclusive(&attempt_lock);
    if (closing) {
        set_error(value, ERROR_CELL_NA);
    } else {
        if (!attempt.done || attempt.number != number) {
            log_in();
            attempt.done = 1;
            attempt.number = number;
        }
        if (kneo.response_status(attempt.response) == KNEO_OK)
            set_field(value, pointer);
        else
            set_failure(value);
    }
    ReleaseSRWLockExclusive(&attempt_lock);
}

static char *utf8(const wchar_t *text)
{
    int size = WideCharToMultiByte(CP_UTF8, 0, text, -1, NULL, 0, NULL, NULL);
    char *copy = size > 0 ? malloc((size_t)size) : NULL;
    if (copy != NULL)
        WideCharToMultiByte(CP_UTF8, 0, text, -1, copy, size, NULL, NULL);
    return copy;
}

/* ---- the worksheet functions --------------------------------------------- */

EXPORT excel_value *WINAPI kneo_cell_login(const wchar_t *field, int number)
{
    char *pointer = utf8(field);
    excel_value *value = calloc(1, sizeof *value);
    if (value != NULL && pointer != NULL)
        answer(pointer, number, value);
    else if (value != NULL)
        set_error(value, ERROR_CELL_VALUE);
    free(pointer);
    if (value != NULL)
        value->kind |= VALUE_FREED_BY_ADD_IN;
    return value;
}

/* Excel gives back here what VALUE_FREED_BY_ADD_IN marks. */
EXPORT void WINAPI xlAutoFree12(excel_value *value)
{
    if (value->kind == (VALUE_TEXT | VALUE_FREED_BY_ADD_IN))
        free(value->is.text);
    free(value);
}

struct job {
    char *pointer;
    int number;
    excel_value call; /* Excel's handle of the asynchronous call */
};

/* How many jobs run; xlAutoClose waits until there are none. */
static SRWLOCK jobs_lock = SRWLOCK_INIT;
static CONDITION_VARIABLE jobs_changed = CONDITION_VARIABLE_INIT;
static int jobs;

static void count_job(int change)
{
    AcquireSRWLockExclusive(&jobs_lock);
    jobs += change;
    ReleaseSRWLockExclusive(&jobs_lock);
    WakeAllConditionVariable(&jobs_changed);
}

static void give_back(struct job *job, excel_value *value)
{
    excel_value *arguments[] = {&job->call, value};
    excel_value taken;
    call_excel(EXCEL_ASYNC_RETURN, &taken, 2, arguments);
}

static DWORD WINAPI run_job(void *argument)
{
    struct job *job = argument;
    excel_value value;
    answer(job->pointer, job->number, &value);
    if (!closing) /* while the add-in closes, Excel waits for nothing any more */
        give_back(job, &value);
    if (value.kind == VALUE_TEXT)
        free(value.is.text);
    free(job->pointer);
    free(job);
    count_job(-1);
    /* The job holds the add-in in memory; this lets go of it and ends the
     * thread in one step, so that no code runs in a module that is gone. */
    FreeLibraryAndExitThread(own_module(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT), 0);
    return 0;
}

EXPORT void WINAPI kneo_cell_login_async(const wchar_t *field, int number, const excel_value *call)
{
    struct job *job = calloc(1, sizeof *job);
    HANDLE thread = NULL;
    if (job != NULL) {
        job->pointer = utf8(field);
        job->number = number;
        job->call = *call;
    }
    if (job != NULL && job->pointer != NULL) {
        count_job(1);
        HMODULE held = own_module(0);
        thread = CreateThread(NULL, 0, run_job, job, 0, NULL);
        if (thread == NULL) {
            count_job(-1);
            FreeLibrary(held);
        }
    }
    if (thread != NULL) {
        CloseHandle(thread);
        return;
    }
    struct job failed = {.call = *call};
    excel_value value;
    set_error(&value, ERROR_CELL_VALUE);
    give_back(&failed, &value);
    if (job != NULL)
        free(job->pointer);
    free(job);
}

/* ---- open and close ------------------------------------------------------ */

/* A text for Excel: length first. Ours are short. */
struct short_text {
    wchar_t units[128];
    excel_value value;
};

static excel_value *short_text(struct short_text *text, const wchar_t *from)
{
    size_t size = wcslen(from);
    text->units[0] = (wchar_t)size;
    memcpy(text->units + 1, from, size * sizeof *from);
    text->value.is.text = text->units;
    text->value.kind = VALUE_TEXT;
    return &text->value;
}

/* Types: Q a value, C% a wide text, J an int, > nothing, X the handle of an
 * asynchronous call, $ safe on any thread. */
static int register_function(excel_value *module, const wchar_t *procedure, const wchar_t *types,
                             const wchar_t *name, const wchar_t *help)
{
    struct short_text texts[9];
    excel_value *arguments[] = {
        module,
        short_text(&texts[0], procedure),
        short_text(&texts[1], types),
        short_text(&texts[2], name),
        short_text(&texts[3], L"field,attempt"),
        short_text(&texts[4], L"1"), /* a function, shown in the wizard */
        short_text(&texts[5], L"Kotak Neo"),
        short_text(&texts[6], L""),
        short_text(&texts[7], L""),
        short_text(&texts[8], help),
    };
    excel_value id;
    return call_excel(EXCEL_REGISTER, &id, 10, arguments) == EXCEL_SUCCESS
        && id.kind == VALUE_NUMBER;
}

EXPORT int WINAPI xlAutoOpen(void)
{
    if (library == NULL && !load_library())
        return 0;
    excel_value module;
    if (call_excel(EXCEL_GET_NAME, &module, 0, NULL) != EXCEL_SUCCESS)
        return 0;
    int done = register_function(&module, L"kneo_cell_login", L"QC%J$", L"KNEO.LOGIN",
                                 L"Logs in and gives a field of the session")
        && register_function(&module, L"kneo_cell_login_async", L">C%JX$", L"KNEO.LOGIN.ASYNC",
                             L"Logs in without waiting and gives a field of the session");
    excel_value *arguments[] = {&module};
    call_excel(EXCEL_FREE, NULL, 1, arguments);
    return done;
}

/*
 * Ends everything that runs in the add-in's code, so that Excel can unload it.
 * kotak_neo.dll ends its own threads and stays pinned in memory. Excel also
 * calls this when the user then cancels the closing: all works again afterwards.
 */
EXPORT int WINAPI xlAutoClose(void)
{
    if (library == NULL)
        return 1;
    InterlockedExchange(&closing, 1);
    kneo.shutdown(CLOSE_MS); /* calls in flight end with KNEO_CLOSED */
    AcquireSRWLockExclusive(&jobs_lock);
    BOOL woken = TRUE;
    while (jobs > 0 && woken)
        woken = SleepConditionVariableSRW(&jobs_changed, &jobs_lock, CLOSE_MS, 0);
    int ended = jobs == 0;
    ReleaseSRWLockExclusive(&jobs_lock);

    if (ended) {
        /* Once more: a job may have opened a client just after the first. */
        ended = kneo.shutdown(CLOSE_MS) == KNEO_OK;
        AcquireSRWLockExclusive(&attempt_lock);
        kneo.response_free(attempt.response);
        memset(&attempt, 0, sizeof attempt);
        ReleaseSRWLockExclusive(&attempt_lock);
    }
    InterlockedExchange(&closing, 0);
    return ended;
}
