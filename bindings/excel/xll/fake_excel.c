/*
 * Plays Excel's side for the add-in, so that it can be tried where no Excel is.
 *
 *     fake_excel path\to\kotak_neo_addin.xll login
 *     fake_excel path\to\kotak_neo_addin.xll close
 *
 * `login` does twice: load the add-in, open it, check what it registers, call
 * both worksheet functions, close it, unload it. `close` closes the add-in while
 * an asynchronous call is in flight: it prints "waiting", and goes on when it
 * reads a line. The environment is that of the add-in.
 *
 * Like EXCEL.EXE it exports its door as MdCallBack12. It ends with 0 when the
 * add-in did all as Excel expects and everything that was handed out came back.
 */
#include "excel12.h"
#include "kotak_neo.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATIENCE_MS = 60000 };

static int failures;

static void check(int holds, const char *what)
{
    if (!holds) {
        printf("does not hold: %s\n", what);
        failures++;
    }
}

/* ---- Excel's side of the door --------------------------------------------- */

static wchar_t add_in_path[MAX_PATH];

static struct {
    char procedure[64], types[16], name[64];
} registered[8];
static int registered_count;

static LONG names_handed_out;

/* One asynchronous call at a time, with a handle that only Excel can read. */
static char call_token;
static HANDLE call_done;
static char call_text[256];
static LONG calls_returned;

/* A value as text: kinds differ in the words around it. */
static void describe(const excel_value *value, char *text, size_t size)
{
    switch (value->kind & ~(DWORD)(VALUE_FREED_BY_ADD_IN | VALUE_FREED_BY_EXCEL)) {
    case VALUE_TEXT: {
        int used = WideCharToMultiByte(CP_UTF8, 0, value->is.text + 1, value->is.text[0], text,
                                       (int)size - 1, NULL, NULL);
        text[used] = '\0';
        break;
    }
    case VALUE_NUMBER:
        snprintf(text, size, "number %g", value->is.number);
        break;
    case VALUE_BOOLEAN:
        snprintf(text, size, "boolean %d", value->is.boolean);
        break;
    case VALUE_ERROR:
        snprintf(text, size, "error %d", value->is.error);
        break;
    default:
        snprintf(text, size, "kind %lu", (unsigned long)value->kind);
    }
}

static int register_function(int count, excel_value **arguments, excel_value *result)
{
    if (count != 10 || registered_count == 8)
        return EXCEL_FAILED;
    char module[MAX_PATH * 3], own[MAX_PATH * 3];
    describe(arguments[0], module, sizeof module);
    WideCharToMultiByte(CP_UTF8, 0, add_in_path, -1, own, sizeof own, NULL, NULL);
    check(strcmp(module, own) == 0, "the add-in registers its own file");
    describe(arguments[1], registered[registered_count].procedure, 64);
    describe(arguments[2], registered[registered_count].types, 16);
    describe(arguments[3], registered[registered_count].name, 64);
    registered_count++;
    result->is.number = registered_count;
    result->kind = VALUE_NUMBER;
    return EXCEL_SUCCESS;
}

static int get_name(excel_value *result)
{
    size_t size = wcslen(add_in_path);
    result->is.text = malloc((size + 1) * sizeof(wchar_t));
    if (result->is.text == NULL)
        return EXCEL_FAILED;
    result->is.text[0] = (wchar_t)size;
    memcpy(result->is.text + 1, add_in_path, size * sizeof(wchar_t));
    result->kind = VALUE_TEXT | VALUE_FREED_BY_EXCEL;
    names_handed_out++;
    return EXCEL_SUCCESS;
}

static int take_async(int count, excel_value **arguments)
{
    if (count != 2 || arguments[0]->kind != VALUE_BIG_DATA
        || arguments[0]->is.big_data.handle != &call_token)
        return EXCEL_FAILED;
    describe(arguments[1], call_text, sizeof call_text);
    InterlockedIncrement(&calls_returned);
    SetEvent(call_done);
    return EXCEL_SUCCESS;
}

__declspec(dllexport) int WINAPI MdCallBack12(int function, int count, excel_value **arguments,
                                              excel_value *result)
{
    switch (function) {
    case EXCEL_REGISTER:
        return register_function(count, arguments, result);
    case EXCEL_GET_NAME:
        return get_name(result);
    case EXCEL_FREE:
        for (int i = 0; i < count; i++) {
            free(arguments[i]->is.text);
            names_handed_out--;
        }
        return EXCEL_SUCCESS;
    case EXCEL_ASYNC_RETURN:
        return take_async(count, arguments);
    default:
        return EXCEL_UNKNOWN_FUNCTION;
    }
}

/* ---- what Excel does with an add-in ---------------------------------------- */

static HMODULE add_in;

static struct {
    int(WINAPI *open)(void);
    int(WINAPI *close)(void);
    void(WINAPI *free_value)(excel_value *);
    excel_value *(WINAPI *login)(const wchar_t *, int);
    void(WINAPI *login_async)(const wchar_t *, int, const excel_value *);
} excel;

static void find(const char *name, void *pointer)
{
    FARPROC found = GetProcAddress(add_in, name);
    if (found == NULL) {
        printf("the add-in does not export %s\n", name);
        exit(1);
    }
    memcpy(pointer, &found, sizeof found);
}

static void check_registration(int index, const char *name, const char *types, void *pointer)
{
    check(strcmp(registered[index].name, name) == 0, name);
    check(strcmp(registered[index].types, types) == 0, types);
    find(registered[index].procedure, pointer);
    printf("registered: %s %s\n", registered[index].name, registered[index].types);
}

static void load(void)
{
    add_in = LoadLibraryW(add_in_path);
    if (add_in == NULL) {
        printf("cannot load the add-in: %lu\n", (unsigned long)GetLastError());
        exit(1);
    }
    find("xlAutoOpen", &excel.open);
    find("xlAutoClose", &excel.close);
    find("xlAutoFree12", &excel.free_value);
    registered_count = 0;
    check(excel.open() == 1, "xlAutoOpen gives 1");
    check(names_handed_out == 0, "the add-in frees what xlGetName gave");
    check(registered_count == 2, "two functions are registered");
    if (registered_count != 2)
        exit(1);
    check_registration(0, "KNEO.LOGIN", "QC%J$", &excel.login);
    check_registration(1, "KNEO.LOGIN.ASYNC", ">C%JX$", &excel.login_async);
}

static void unload(void)
{
    check(excel.close() == 1, "xlAutoClose gives 1");
    check(FreeLibrary(add_in) != 0, "the add-in is freed");
    add_in = NULL;
    const wchar_t *name = wcsrchr(add_in_path, L'\\');
    name = name != NULL ? name + 1 : add_in_path;
    for (int waited = 0; GetModuleHandleW(name) != NULL && waited < PATIENCE_MS; waited += 10)
        Sleep(10); /* a job's thread lets go of the add-in when it ends */
    check(GetModuleHandleW(name) == NULL, "the add-in is out of memory");

    HMODULE library = GetModuleHandleW(L"kotak_neo.dll");
    check(library != NULL, "the library stays pinned");
    if (library == NULL)
        return;
    int32_t (*live_handles)(void);
    FARPROC found = GetProcAddress(library, "kneo_live_handles");
    memcpy(&live_handles, &found, sizeof found);
    printf("live handles: %d\n", (int)live_handles());
    check(live_handles() == 0, "the add-in frees all handles");
}

static void cell(const wchar_t *field, int attempt)
{
    char text[256];
    excel_value *value = excel.login(field, attempt);
    describe(value, text, sizeof text);
    printf("=KNEO.LOGIN(\"%ls\",%d): %s\n", field, attempt, text);
    check((value->kind & VALUE_FREED_BY_ADD_IN) != 0, "the value says who frees it");
    excel.free_value(value);
}

static void start_async(const wchar_t *field, int attempt)
{
    /* On the stack and changed after the call: the add-in has to copy both. */
    wchar_t text[64];
    excel_value call = {.kind = VALUE_BIG_DATA};
    call.is.big_data.handle = &call_token;
    wcscpy(text, field);
    ResetEvent(call_done);
    excel.login_async(text, attempt, &call);
    memset(text, 0, sizeof text);
    memset(&call, 0, sizeof call);
}

static void cell_async(const wchar_t *field, int attempt)
{
    start_async(field, attempt);
    if (WaitForSingleObject(call_done, PATIENCE_MS) != WAIT_OBJECT_0)
        strcpy(call_text, "no answer");
    printf("=KNEO.LOGIN.ASYNC(\"%ls\",%d): %s\n", field, attempt, call_text);
}

int wmain(int argc, wchar_t **argv)
{
    if (argc != 3 || GetFullPathNameW(argv[1], MAX_PATH, add_in_path, NULL) == 0) {
        fputs("usage: fake_excel path\\to\\the.xll login|close\n", stderr);
        return 2;
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    call_done = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (wcscmp(argv[2], L"close") == 0) {
        load();
        start_async(L"/state", 1);
        puts("waiting");
        getchar();
        unload();
        check(calls_returned == 0, "nothing is returned after the add-in was told to close");
    } else {
        for (int round = 0; round < 2; round++) {
            load();
            cell(L"/state", 1);
            cell(L"/state", 1); /* a recalculation: no second login */
            cell(L"/noSuchField", 1);
            cell_async(L"/state", 2);
            unload();
        }
        check(calls_returned == 2, "one return for each asynchronous call");
    }
    CloseHandle(call_done);
    printf("failures: %d\n", failures);
    return failures == 0 ? 0 : 1;
}
