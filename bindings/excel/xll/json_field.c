/* Reads one field out of a JSON text; see json_field.h. */
#include "json_field.h"

#include <stdlib.h>
#include <string.h>

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* From the opening quote to behind the closing one. */
static const char *skip_string(const char *at)
{
    for (at++; *at != '\0' && *at != '"'; at++) {
        if (*at == '\\' && at[1] != '\0')
            at++;
    }
    return *at == '"' ? at + 1 : at;
}

static const char *skip_value(const char *at)
{
    int depth = 0;
    do {
        at = skip_space(at);
        if (*at == '"') {
            at = skip_string(at);
        } else if (*at == '{' || *at == '[') {
            depth++;
            at++;
        } else if (*at == '}' || *at == ']') {
            depth--;
            at++;
        } else if (*at == ',' || *at == ':') {
            at++;
        } else {
            at += strcspn(at, " \t\r\n,:{}[]\"");
        }
    } while (depth > 0 && *at != '\0');
    return at;
}

/* The value of a member of the object at `at`, or NULL. */
static const char *member(const char *at, const char *name, size_t size)
{
    if (*at != '{')
        return NULL;
    at = skip_space(at + 1);
    while (*at == '"') {
        const char *end = skip_string(at);
        int same = (size_t)(end - at) == size + 2 && memcmp(at + 1, name, size) == 0;
        const char *value = skip_space(skip_space(end) + 1); /* behind the colon */
        if (same)
            return value;
        at = skip_space(skip_value(value));
        if (*at == ',')
            at = skip_space(at + 1);
    }
    return NULL;
}

static wchar_t unescape(const char **at)
{
    static const char from[] = "bfnrt", to[] = "\b\f\n\r\t";
    char c = *(*at)++;
    if (c == 'u') {
        char digits[5] = {0};
        strncpy(digits, *at, 4);
        *at += strlen(digits);
        return (wchar_t)strtoul(digits, NULL, 16); /* UTF-16, as the cell is */
    }
    const char *found = strchr(from, c);
    return (wchar_t)(found != NULL && c != '\0' ? to[found - from] : c);
}

/* Appends UTF-8 to a cell text, whose first unit is the length. */
static int append(wchar_t *text, const char *utf8, size_t size)
{
    if (size == 0)
        return 1;
    int room = LONGEST_TEXT - text[0];
    int added = size > INT_MAX || room == 0
        ? 0
        : MultiByteToWideChar(CP_UTF8, 0, utf8, (int)size, text + 1 + text[0], room);
    text[0] = (wchar_t)(text[0] + added);
    return added > 0;
}

static wchar_t *new_text(void)
{
    return calloc(LONGEST_TEXT + 1, sizeof(wchar_t));
}

/* Gives the text to the value, or #VALUE! when it did not fit. */
static void finish(excel_value *value, wchar_t *text, int fits)
{
    if (!fits) {
        free(text);
        set_error(value, ERROR_CELL_VALUE);
        return;
    }
    wchar_t *trimmed = realloc(text, (text[0] + (size_t)1) * sizeof(wchar_t));
    value->is.text = trimmed != NULL ? trimmed : text;
    value->kind = VALUE_TEXT;
}

static void set_string(excel_value *value, const char *at)
{
    const char *end = skip_string(at) - 1;
    wchar_t *text = new_text();
    int fits = text != NULL;
    at++;
    while (fits && at < end) {
        size_t plain = strcspn(at, "\\\"");
        fits = append(text, at, plain);
        at += plain;
        if (fits && at < end) {
            at++; /* the backslash */
            wchar_t unit = unescape(&at);
            fits = text[0] < LONGEST_TEXT;
            if (fits)
                text[++text[0]] = unit;
        }
    }
    finish(value, text, fits);
}

void set_error(excel_value *value, int error)
{
    value->is.error = error;
    value->kind = VALUE_ERROR;
}

void set_text(excel_value *value, const char *utf8, size_t size)
{
    wchar_t *text = new_text();
    finish(value, text, text != NULL && append(text, utf8, size));
}

void json_field(const char *json, const char *path, excel_value *value)
{
    const char *at = skip_space(json);
    while (at != NULL && *path != '\0') {
        size_t size = strcspn(path, ".");
        at = member(at, path, size);
        path += size;
        if (*path == '.')
            path++;
    }
    if (at == NULL || *at == 'n') {
        set_error(value, ERROR_CELL_NA);
    } else if (*at == '"') {
        set_string(value, at);
    } else if (*at == '{' || *at == '[') {
        set_text(value, at, (size_t)(skip_value(at) - at));
    } else if (*at == 't' || *at == 'f') {
        value->is.boolean = *at == 't';
        value->kind = VALUE_BOOLEAN;
    } else {
        value->is.number = strtod(at, NULL);
        value->kind = VALUE_NUMBER;
    }
}
