/*
 * The part of Excel's add-in interface (Excel 2007 and later, 64-bit) that this
 * add-in uses, declared from its documentation: the cell value, the numbers of
 * the functions that an add-in may call, and the shape of the door to them.
 */
#ifndef EXCEL12_H
#define EXCEL12_H

#include <stddef.h>
#include <windows.h>

/* Kinds of a value. Two bits say who frees it. */
enum {
    VALUE_NUMBER = 0x0001,
    VALUE_TEXT = 0x0002,
    VALUE_BOOLEAN = 0x0004,
    VALUE_ERROR = 0x0010,
    VALUE_MISSING = 0x0080,
    VALUE_NIL = 0x0100,
    VALUE_INTEGER = 0x0800,
    VALUE_BIG_DATA = 0x0802, /* also the handle of an asynchronous call */
    VALUE_FREED_BY_EXCEL = 0x1000, /* with xlFree */
    VALUE_FREED_BY_ADD_IN = 0x4000 /* with xlAutoFree12 */
};

/* Errors as cells show them. */
enum { ERROR_CELL_VALUE = 15 /* #VALUE! */, ERROR_CELL_NA = 42 /* #N/A */ };

/* Functions of Excel that an add-in calls, and what the door answers. */
enum {
    EXCEL_REGISTER = 149,
    EXCEL_FREE = 0x4000,
    EXCEL_GET_NAME = 0x4000 | 9,
    EXCEL_ASYNC_RETURN = 0x4000 | 16
};
enum { EXCEL_SUCCESS = 0, EXCEL_UNKNOWN_FUNCTION = 2, EXCEL_FAILED = 32 };

enum { LONGEST_TEXT = 32767 };

/* A value of a cell: XLOPER12. */
typedef struct excel_value {
    union {
        double number;
        wchar_t *text; /* text[0] is the length; no NUL at the end */
        BOOL boolean;
        int error;
        int integer;
        struct {
            void *handle;
            long size;
        } big_data;
        unsigned char room[24]; /* of the members not needed here */
    } is;
    DWORD kind;
} excel_value;

_Static_assert(sizeof(void *) == 8, "64-bit Excel only");
_Static_assert(sizeof(excel_value) == 32, "the size of an XLOPER12");
_Static_assert(offsetof(excel_value, kind) == 24, "the place of xltype");

/* The door: EXCEL.EXE exports it as MdCallBack12. */
typedef int(WINAPI *excel_door)(int function, int count, excel_value **arguments,
                                excel_value *result);

#endif
