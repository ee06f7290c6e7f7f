/*
 * A small Excel add-in over kotak_neo.dll, with two worksheet functions:
 *
 *     =KNEO.LOGIN("data.kType", 1)         waits for the login
 *     =KNEO.LOGIN.ASYNC("data.kType", 1)   lets Excel go on meanwhile
 *
 * Each logs in with TOTP and MPIN and gives one field of the answer. Tokens and
 * personal data are masked in it: a cell is saved with the workbook. For the
 * same reason the credentials are not arguments but environment variables:
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
#include "json_field.h"
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

/* ---- the library --------------------------------------------------------- */

static HMODULE library;

static struct {
    int32_t (*shutdown)(int32_t);
    int32_t (*response_status)(const kneo_response *);
    const char *(*response_json)(const kneo_response *);
    const char *(*response_message)(const kneo_response *);
    const char *(*response_redacted)(const kneo_response *);
    void (*response_free)(kneo_response *);
    kneo_response *(*client_open)(const char *, kneo_client **);
    void (*client_free)(kneo_client *);
    kneo_response *(*totp_generate)(const char *);
    kneo_response *(*totp_login)(kneo_client *, const char *, const char *, const char *);
    kneo_response *(*totp_validate)(kneo_client *, const char *);
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
        && find("kneo_response_json", &kneo.response_json)
        && find("kneo_response_message", &kneo.response_message)
        && find("kneo_response_redacted", &kneo.response_redacted)
        && find("kneo_response_free", &kneo.response_free)
        && find("kneo_client_open", &kneo.client_open)
        && find("kneo_client_free", &kneo.client_free)
        && find("kneo_totp_generate", &kneo.totp_generate)
        && find("kneo_totp_login", &kneo.totp_login)
        && find("kneo_totp_validate", &kneo.totp_validate);
}

/* ---- the login ----------------------------------------------------------- */

/* What the last attempt gave. The lock is held while it runs. */
static SRWLOCK attempt_lock = SRWLOCK_INIT;
static struct {
    int done;
    int number;
    int32_t status;
    char *redacted;
    char *message;
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

/* Keeps what a response says as the outcome of the attempt, and frees it. */
static int keep(kneo_response *response)
{
    free(attempt.redacted);
    free(attempt.message);
    attempt.status = kneo.response_status(response);
    attempt.redacted = _strdup(kneo.response_redacted(response));
    attempt.message = _strdup(kneo.response_message(response));
    kneo.response_free(response);
    return attempt.status == KNEO_OK;
}

static kneo_response *totp_login(kneo_client *client, const char *mobile_number, const char *ucc,
                                 const char *secret)
{
    kneo_response *made = kneo.totp_generate(secret);
    if (kneo.response_status(made) != KNEO_OK)
        return made;
    excel_value field;
    json_field(kneo.response_json(made), "totp", &field);
    kneo.response_free(made);
    char totp[7] = {0};
    if (field.kind == VALUE_TEXT) {
        for (int i = 0; i < 6 && i < field.is.text[0]; i++)
            totp[i] = (char)field.is.text[i + 1];
        free(field.is.text);
    }
    return kneo.totp_login(client, mobile_number, ucc, totp);
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
        && keep(totp_login(client, mobile_number, ucc, secret)))
        keep(kneo.totp_validate(client, mpin));
    kneo.client_free(client);
    free_secret(config);
    free_secret(mobile_number);
    free_secret(ucc);
    free_secret(secret);
    free_secret(mpin);
}

static void set_failure(excel_value *value)
{
    size_t room = strlen(attempt.message) + 32;
    char *text = malloc(room);
    if (text == NULL) {
        set_error(value, ERROR_CELL_VALUE);
        return;
    }
    int size = snprintf(text, room, "Kotak Neo, status %d: %s", (int)attempt.status,
                        attempt.message);
    set_text(value, text, (size_t)size);
    free(text);
}

/* The cell's value: a field of the answer, or a text that says what failed. */
static void answer(const char *path, int number, excel_value *value)
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
        if (attempt.redacted == NULL || attempt.message == NULL)
            set_error(value, ERROR_CELL_VALUE); /* out of memory */
        else if (attempt.status == KNEO_OK)
            json_field(attempt.redacted, path, value);
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

EXPORT excel_value *WINAPI kneo_cell_login(const wchar_t *path, int number)
{
    char *field = utf8(path);
    excel_value *value = calloc(1, sizeof *value);
    if (value != NULL && field != NULL)
        answer(field, number, value);
    else if (value != NULL)
        set_error(value, ERROR_CELL_VALUE);
    free(field);
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
    char *path;
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
    answer(job->path, job->number, &value);
    if (!closing) /* while the add-in closes, Excel waits for nothing any more */
        give_back(job, &value);
    if (value.kind == VALUE_TEXT)
        free(value.is.text);
    free(job->path);
    free(job);
    count_job(-1);
    /* The job holds the add-in in memory; this lets go of it and ends the
     * thread in one step, so that no code runs in a module that is gone. */
    FreeLibraryAndExitThread(own_module(GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT), 0);
    return 0;
}

EXPORT void WINAPI kneo_cell_login_async(const wchar_t *path, int number, const excel_value *call)
{
    struct job *job = calloc(1, sizeof *job);
    HANDLE thread = NULL;
    if (job != NULL) {
        job->path = utf8(path);
        job->number = number;
        job->call = *call;
    }
    if (job != NULL && job->path != NULL) {
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
        free(job->path);
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
                                 L"Logs in and gives a field of the answer")
        && register_function(&module, L"kneo_cell_login_async", L">C%JX$", L"KNEO.LOGIN.ASYNC",
                             L"Logs in without waiting and gives a field of the answer");
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
        free(attempt.redacted);
        free(attempt.message);
        memset(&attempt, 0, sizeof attempt);
        ReleaseSRWLockExclusive(&attempt_lock);
    }
    InterlockedExchange(&closing, 0);
    return ended;
}
