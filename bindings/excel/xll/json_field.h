/* Reads one field out of a JSON text, as a value for a cell. */
#ifndef JSON_FIELD_H
#define JSON_FIELD_H

#include "excel12.h"

/*
 * Finds the field at `path` ("data.kType") in a valid JSON text, and fills
 * `value`: text, number or boolean; objects and arrays as their JSON text; #N/A
 * for null and for a field that is not there; #VALUE! for text that no cell holds.
 * Text is allocated with malloc and belongs to the caller.
 */
void json_field(const char *json, const char *path, excel_value *value);

/* Makes a text value of UTF-8; #VALUE! when it is too long for a cell. */
void set_text(excel_value *value, const char *utf8, size_t size);

void set_error(excel_value *value, int error);

#endif
