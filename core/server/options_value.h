/*
 * options_value.h - one value of an option: from text, with what is allowed when it is not, and
 * back.
 */
#pragma once

#include "server/options_table.h"

#define OPTION_VALUE_TEXT_MAX 64

/* Sets a field that is no list; place is where the row puts it. 0, or -1 with a message that says
 * what is wrong and what is allowed. */
MUST_CHECK int option_value_set(void *place, const struct option_row *row, const char *value,
                                char *message, size_t message_size);

/* Writes a field that is no list: "64KB", "true", "unset". */
void option_value_print(const void *place, const struct option_row *row, FILE *out);

/* Writes any option as a flag takes it; an empty list as "none". In options_print.c. */
void option_print(struct options *options, const struct option_row *row, FILE *out);

/* Appends an entry of text_count texts (NULL: left out) to a list; they are copied. Returns
 * likewise. */
MUST_CHECK int option_entry_add(struct options *options, const struct option_row *row,
                                const char *const *texts, char *message, size_t message_size);

/* Appends what a flag's value says: entries with commas between. Returns likewise. */
MUST_CHECK int option_list_add(struct options *options, const struct option_row *row,
                               const char *value, char *message, size_t message_size);

/* "25s", "64KB", "4096" of a number, size or duration, in the largest unit that is exact. */
void option_number_format(const struct option_row *row, uint32_t number,
                          char out[OPTION_VALUE_TEXT_MAX]);
