#include "server/options_value.h"

#include <stdlib.h>

/* An entry as a flag takes it. */
static void print_entry(const struct option_list *list, uint32_t index, FILE *out)
{
    char *const *texts = list->texts + (size_t)index * list->text_count;

    if (list->text_count == 1) {
        (void)fprintf(out, "%s", texts[0]);
    } else if (list->text_count == OPTION_TEXTS_MAX) {
        (void)fprintf(out, "%s", texts[0]);
        for (uint32_t i = 1; i < list->text_count; i++) {
            if (texts[i]) {
                (void)fprintf(out, ":%s=%s", list->names[i], texts[i]);
            }
        }
    } else if (list->text_count == 2) {
        (void)fprintf(out, "%s:%s", texts[0], texts[1]);
    } else {
        (void)fprintf(out, "%s%s%s%s%s", texts[0] ? texts[0] : "", texts[0] ? "=" : "",
                      texts[1] ? texts[1] : "", texts[1] ? ":" : "", texts[2]);
    }
}

static void print_list(struct options *options, const struct option_row *row, FILE *out)
{
    struct option_list list = option_list_of(options, row);

    (void)fprintf(out, "%s", *list.count == 0 ? "none" : "");
    for (uint32_t i = 0; i < *list.count; i++) {
        (void)fprintf(out, "%s", i > 0 ? "," : "");
        print_entry(&list, i, out);
    }
}

void option_print(struct options *options, const struct option_row *row, FILE *out)
{
    if (option_is_list(row)) {
        print_list(options, row, out);
    } else {
        option_value_print(option_place(options, row), row, out);
    }
}

void options_describe(const struct options *options, FILE *out)
{
    struct options copy = *options; /* shallow, to be read like one that can be set */
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)); i++) {
        char *value = NULL;
        size_t value_size = 0;
        FILE *stream = open_memstream(&value, &value_size);

        ASSERT(stream);
        option_print(&copy, row, stream);
        int closed = fclose(stream);
        ASSERT(closed == 0);
        (void)fprintf(out, "%-34s %-16s %s\n", row->info.name, value, row->info.help);
        free(value);
    }
    option_namespace_describe_keys(out);
}

void options_describe_namespaces(const struct options *options, FILE *out)
{
    for (uint32_t i = 0; i < options->namespaces.count; i++) {
        option_namespace_describe(&options->namespaces.entries[i], out);
    }
}
