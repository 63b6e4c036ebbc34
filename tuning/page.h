/*
 * page.h - text for people: 120 columns wide, words wrapped below each other, colours only on a
 * terminal.
 */
#pragma once

#include "base/text.h"
#include "tuning/plan.h"

#define PAGE_COLUMNS 120

/* Before anything is painted; without it nothing is. */
void page_setup(FILE *out);

/* The word in the verdict's colour, padded to width. */
void page_verdict(FILE *out, enum verdict verdict, int width);

void page_heading(FILE *out, const char *format, ...) PRINTF_LIKE(2, 3);

/* Writes words from column on, in lines of at most so many columns; each further line begins with
 * the margin. Ends the last. */
void page_fill(FILE *out, const char *margin, uint32_t column, uint32_t columns, const char *words);

/* Words from column (counted from 0) on, where the line stands already; the next lines begin there,
 * too. Ends the line. */
void page_wrap(FILE *out, uint32_t column, const char *words);

/* So many words in the column, cut with "..." when they are longer; width without the blank that
 * follows. */
void page_cell(FILE *out, const char *words, uint32_t width);
