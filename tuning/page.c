#include "tuning/page.h"

#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

static bool is_coloured;

void page_setup(FILE *out)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): before any thread starts. */
    is_coloured = isatty(fileno(out)) == 1 && getenv("NO_COLOR") == NULL;
}

static void paint(FILE *out, const char *colour)
{
    if (is_coloured) {
        text_print(out, "\033[%sm", colour);
    }
}

static const char *colour_of(enum verdict verdict)
{
    switch (verdict) {
    case VERDICT_OK:
        return "32";
    case VERDICT_LOW:
    case VERDICT_UNKNOWN:
        return "31";
    case VERDICT_RISKY:
    case VERDICT_SEEN:
        return "33";
    case VERDICT_ABSENT:
        return "2";
    }
    return "0";
}

void page_verdict(FILE *out, enum verdict verdict, int width)
{
    paint(out, colour_of(verdict));
    text_print(out, "%-*s", width, verdict_text(verdict));
    paint(out, "0");
}

void page_heading(FILE *out, const char *format, ...)
{
    va_list arguments;

    text_print(out, "\n");
    paint(out, "1");
    va_start(arguments, format);
    (void)vfprintf(out, format, arguments);
    va_end(arguments);
    paint(out, "0");
    text_print(out, "\n");
}

void page_fill(FILE *out, const char *margin, uint32_t column, uint32_t columns, const char *words)
{
    uint32_t at = column;

    while (*words != '\0') {
        const uint32_t size = (uint32_t)strcspn(words, " ");
        if (at > column && at + 1 + size > columns) {
            text_print(out, "\n%-*s", (int)column, margin);
            at = column;
        } else if (at > column) {
            text_print(out, " ");
            at++;
        }
        text_print(out, "%.*s", (int)size, words);
        at += size;
        words += size;
        words += strspn(words, " ");
    }
    text_print(out, "\n");
}

void page_wrap(FILE *out, uint32_t column, const char *words)
{
    page_fill(out, "", column, PAGE_COLUMNS, words);
}

void page_cell(FILE *out, const char *words, uint32_t width)
{
    const size_t size = strlen(words);

    if (size <= width) {
        text_print(out, "%-*s ", (int)width, words);
    } else {
        text_print(out, "%.*s... ", (int)width - 3, words);
    }
}
