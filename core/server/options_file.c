/*
 * The options file, with libyaml itself: its document keeps the line of every node, which libcyaml
 * does not pass on with its messages.
 */
#include "base/file.h"
#include "server/options_table.h"
#include "server/options_value.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <yaml.h>

#define FILE_SIZE_MAX ((size_t)256 * 1024)
#define PROBLEMS_MAX  20 /* that are written out */
#define NAME_SIZE     128
#define MESSAGE_SIZE  512

struct reader {
    struct options *options;
    yaml_document_t document;
    const char *path;
    FILE *errors;
    uint32_t problems;
};

/* Writes "FILE:LINE: key: problem". */
static PRINTF_LIKE(4, 5) void report(struct reader *reader, const yaml_node_t *node,
                                     const char *key, const char *format, ...)
{
    va_list list;

    reader->problems++;
    if (reader->problems > PROBLEMS_MAX) {
        return;
    }
    (void)fprintf(reader->errors, "%s:%zu: %s%s", reader->path, node->start_mark.line + 1, key,
                  key[0] ? ": " : "");
    va_start(list, format);
    (void)vfprintf(reader->errors, format, list);
    va_end(list);
    (void)fputc('\n', reader->errors);
}

static yaml_node_t *node_at(struct reader *reader, int index)
{
    return yaml_document_get_node(&reader->document, index);
}

static const char *text_of(const yaml_node_t *node)
{
    return (const char *)node->data.scalar.value;
}

/* A scalar that C can hold as a text ("\0" of YAML would cut it), and that says something: a key
 * with nothing behind it, null and ~ do not. */
static bool is_value(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE || strlen(text_of(node)) != node->data.scalar.length) {
        return false;
    }
    return node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE ||
           (text_of(node)[0] != 0 && strcmp(text_of(node), "~") != 0 &&
            strcmp(text_of(node), "null") != 0);
}

/* --- names ------------------------------------------------------------------------------------ */

/* What of a row's name stands in a section; in the top section "" also the names of the others. */
static struct slice word_of(const struct option_row *row, const char *section)
{
    const char *name = row->info.name;
    size_t size = strlen(section);

    if (size == 0) {
        return slice_from(name, strcspn(name, "."));
    }
    if (strncmp(name, section, size) == 0 && name[size] == '.') {
        return slice_text(name + size + 1);
    }
    return slice_from(NULL, 0);
}

static bool is_section(struct slice name)
{
    const struct option_row *row;

    for (size_t i = 0; (row = option_row_at(i)); i++) {
        if (strchr(row->info.name, '.') && slice_equal(word_of(row, ""), name)) {
            return true;
        }
    }
    return false;
}

/* One or two characters differ, lack or are too many, all in one place. */
static bool is_similar(struct slice a, struct slice b)
{
    size_t shorter = a.size < b.size ? a.size : b.size;
    size_t longer = a.size < b.size ? b.size : a.size;
    size_t start = 0;
    size_t end = 0;

    while (start < shorter && a.data[start] == b.data[start]) {
        start++;
    }
    while (end < shorter - start && a.data[a.size - 1 - end] == b.data[b.size - 1 - end]) {
        end++;
    }
    return shorter > 2 && longer - start - end <= 2;
}

/* Says which name was probably meant, or which there are. */
static void report_unknown(struct reader *reader, const yaml_node_t *key, const char *section,
                           const char *full_name)
{
    struct slice previous = slice_from(NULL, 0);
    const struct option_row *row;
    char allowed[1024] = "";
    size_t size = 0;

    for (size_t i = 0; (row = option_row_at(i)); i++) {
        struct slice word = word_of(row, section);

        if (word.size == 0 || slice_equal(word, previous)) {
            continue;
        }
        previous = word;
        if (is_similar(word, slice_text(text_of(key)))) {
            report(reader, key, full_name, "there is no such option; did you mean %.*s?",
                   (int)word.size, (const char *)word.data);
            return;
        }
        ASSERT(size + word.size + 3 < sizeof(allowed));
        size += (size_t)snprintf(allowed + size, sizeof(allowed) - size, "%s%.*s",
                                 size > 0 ? ", " : "", (int)word.size, (const char *)word.data);
    }
    report(reader, key, full_name, "there is no such option; allowed: %s", allowed);
}

/* --- values ----------------------------------------------------------------------------------- */

static void report_key(struct reader *reader, const struct option_row *row, const yaml_node_t *key,
                       const char *name)
{
    struct option_list list = option_list_of(reader->options, row);
    char allowed[MESSAGE_SIZE] = "";
    size_t size = 0;

    for (uint32_t i = 0; i < list.text_count; i++) {
        ASSERT(size + strlen(list.names[i]) + 3 < sizeof(allowed));
        size += (size_t)snprintf(allowed + size, sizeof(allowed) - size, "%s%s", i > 0 ? ", " : "",
                                 list.names[i]);
    }
    report(reader, key, row->info.name, "an entry has no \"%s\"; allowed: %s", name, allowed);
}

/* An entry that is a mapping of texts, as of tls.certificates. */
static void read_entry(struct reader *reader, const struct option_row *row,
                       const yaml_node_t *entry)
{
    struct option_list list = option_list_of(reader->options, row);
    const char *texts[OPTION_TEXTS_MAX] = {NULL};
    uint32_t problems_before = reader->problems;
    char message[MESSAGE_SIZE];

    for (const yaml_node_pair_t *pair = entry->data.mapping.pairs.start;
         pair < entry->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_at(reader, pair->key);
        const yaml_node_t *value = node_at(reader, pair->value);
        const char *name = is_value(key) ? text_of(key) : "";
        uint32_t i = 0;

        while (i < list.text_count && strcmp(name, list.names[i]) != 0) {
            i++;
        }
        if (i == list.text_count) {
            report_key(reader, row, key, name);
        } else if (texts[i]) {
            report(reader, key, row->info.name, "an entry has its %s twice", name);
        } else if (!is_value(value)) {
            report(reader, value, row->info.name, "%s is not a text", name);
        } else {
            texts[i] = text_of(value);
        }
    }
    if (reader->problems == problems_before &&
        option_entry_add(reader->options, row, texts, message, sizeof(message)) != 0) {
        report(reader, entry, row->info.name, "%s", message);
    }
}

static void read_name(struct reader *reader, const struct option_row *row, const yaml_node_t *entry)
{
    const char *text = text_of(entry);
    char message[MESSAGE_SIZE];

    if (option_entry_add(reader->options, row, &text, message, sizeof(message)) != 0) {
        report(reader, entry, row->info.name, "%s", message);
    }
}

static void read_list(struct reader *reader, const struct option_row *row, const yaml_node_t *value)
{
    struct option_list list = option_list_of(reader->options, row);

    option_list_clear(&list);
    if (value->type != YAML_SEQUENCE_NODE) {
        report(reader, value, row->info.name, "not a list; allowed: lines that begin with \"- \"");
        return;
    }
    for (const yaml_node_item_t *item = value->data.sequence.items.start;
         item < value->data.sequence.items.top; item++) {
        const yaml_node_t *entry = node_at(reader, *item);

        if (row->kind != OPTION_NAMES && entry->type == YAML_MAPPING_NODE) {
            read_entry(reader, row, entry);
        } else if (row->kind == OPTION_NAMES && is_value(entry)) {
            read_name(reader, row, entry);
        } else {
            report(reader, entry, row->info.name, "an entry is not %s",
                   row->kind == OPTION_NAMES ? "a text" : "\"name: value\" pairs");
        }
    }
}

static void read_option(struct reader *reader, const struct option_row *row, const yaml_node_t *key,
                        const yaml_node_t *value)
{
    size_t index = (size_t)(row - option_row_at(0));
    char message[MESSAGE_SIZE];

    ASSERT(index < OPTIONS_ROWS_MAX);
    if (reader->options->lines[index] > 0) {
        report(reader, key, row->info.name, "stands in the file twice");
        return;
    }
    reader->options->lines[index] = (uint32_t)key->start_mark.line + 1;
    /* One name may stand for a list of one. */
    if (option_is_list(row) && !(row->kind == OPTION_NAMES && is_value(value))) {
        read_list(reader, row, value);
    } else if (!is_value(value)) {
        report(reader, value, row->info.name,
               "has no value; allowed: one, or leave it out for the default");
    } else if (options_set(reader->options, row->info.name, text_of(value), message,
                           sizeof(message)) != 0) {
        report(reader, value, row->info.name, "%s", message);
    }
}

/* --- the file --------------------------------------------------------------------------------- */

static void full_name_of(const char *section, const yaml_node_t *key, char out[NAME_SIZE])
{
    (void)snprintf(out, NAME_SIZE, "%s%s%s", section, section[0] ? "." : "", text_of(key));
}

static void read_section(struct reader *reader, const char *section, const yaml_node_t *mapping)
{
    char full_name[NAME_SIZE];

    if (mapping->type != YAML_MAPPING_NODE) {
        report(reader, mapping, section,
               "is a section; allowed: its options, further to the right");
        return;
    }
    for (const yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_at(reader, pair->key);
        const struct option_row *row;

        if (!is_value(key)) {
            report(reader, key, section, "the name of an option is not a text");
            continue;
        }
        full_name_of(section, key, full_name);
        row = option_row_find(slice_text(full_name));
        if (row) {
            read_option(reader, row, key, node_at(reader, pair->value));
        } else {
            report_unknown(reader, key, section, full_name);
        }
    }
}

static void read_top(struct reader *reader, const yaml_node_t *root)
{
    if (!root) {
        return; /* an empty file: all defaults */
    }
    if (root->type != YAML_MAPPING_NODE) {
        report(reader, root, "", "not an options file; allowed: lines \"name: value\"");
        return;
    }
    for (const yaml_node_pair_t *pair = root->data.mapping.pairs.start;
         pair < root->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = node_at(reader, pair->key);
        const yaml_node_t *value = node_at(reader, pair->value);
        const char *name = is_value(key) ? text_of(key) : "";
        const struct option_row *row = option_row_find(slice_text(name));

        if (is_section(slice_text(name))) {
            read_section(reader, name, value);
        } else if (row && !strchr(name, '.')) {
            read_option(reader, row, key, value);
        } else if (row) {
            report(reader, key, name, "write it in its section: %.*s: and the rest below it",
                   (int)strcspn(name, "."), name);
        } else if (name[0] == 0) {
            report(reader, key, "", "the name of an option is not a text");
        } else {
            report_unknown(reader, key, "", name);
        }
    }
}

/* libyaml's words, in our form. */
static void report_syntax(struct reader *reader, const yaml_parser_t *parser)
{
    reader->problems++;
    (void)fprintf(reader->errors, "%s:%zu: not YAML: %s%s%s\n", reader->path,
                  parser->problem_mark.line + 1, parser->problem ? parser->problem : "no memory",
                  parser->context ? " " : "", parser->context ? parser->context : "");
}

static void read_documents(struct reader *reader, yaml_parser_t *parser)
{
    yaml_document_t next;
    const yaml_node_t *root;

    if (!yaml_parser_load(parser, &reader->document)) {
        report_syntax(reader, parser);
        return;
    }
    root = yaml_document_get_root_node(&reader->document);
    read_top(reader, root);
    if (root && !yaml_parser_load(parser, &next)) {
        report_syntax(reader, parser);
    } else if (root) {
        root = yaml_document_get_root_node(&next);
        if (root) {
            report(reader, root, "", "a second document; allowed: one");
        }
        yaml_document_delete(&next);
    }
    yaml_document_delete(&reader->document);
}

static uint8_t *read_bytes(const char *path, size_t *size, FILE *errors)
{
    const char *reason = NULL;
    const int fd = file_open(path, &reason);
    uint8_t *bytes = NULL;

    if (fd < 0) {
        (void)fprintf(errors, "%s: %s\n", path, reason);
        return NULL;
    }
    FILE *file = fdopen(fd, "r");
    ASSERT(file);
    bytes = malloc(FILE_SIZE_MAX + 1);
    ASSERT(bytes);
    *size = fread(bytes, 1, FILE_SIZE_MAX + 1, file);
    int error = ferror(file) ? errno : 0;
    (void)fclose(file);
    if (error != 0) {
        (void)fprintf(errors, "%s: %s\n", path, strerrordesc_np(error));
    } else if (*size > FILE_SIZE_MAX) {
        (void)fprintf(errors, "%s: larger than %zu bytes\n", path, FILE_SIZE_MAX);
    } else {
        return bytes;
    }
    free(bytes);
    return NULL;
}

int options_read_file(struct options *options, const char *path, FILE *errors)
{
    struct reader reader = {.options = options, .path = path, .errors = errors};
    yaml_parser_t parser;
    size_t size;
    uint8_t *bytes = read_bytes(path, &size, errors);
    int ready;

    if (!bytes) {
        return -1;
    }
    options->file = strdup(path);
    ASSERT(options->file);
    ready = yaml_parser_initialize(&parser);
    ASSERT(ready);
    yaml_parser_set_input_string(&parser, bytes, size);
    read_documents(&reader, &parser);
    yaml_parser_delete(&parser);
    free(bytes);
    if (reader.problems > PROBLEMS_MAX) {
        (void)fprintf(errors, "%s: and %u more\n", path, reader.problems - PROBLEMS_MAX);
    }
    return reader.problems == 0 ? 0 : -1;
}
