#include "tuning/journal.h"

#include "base/digest.h"
#include "base/text.h"
#include "tuning/drop_in.h"

#include <ctype.h>
#include <stdlib.h>

#define FIRST_LINE "limpet-tune journal 1"

/* One line, "NAME VALUE". */
struct fact {
    const char *name;
    char *value;
};

/* What the line before belongs to. */
struct decoding {
    struct journal *journal;
    struct journal_value *value;
    struct journal_file *file;
    struct journal_folder *folder;
};

static const char *const kind_names[] = {
    [CHANGE_SYSCTL] = "sysctl",
    [CHANGE_UNIT_LIMIT] = "unit",
    [CHANGE_LOGIN_LIMIT] = "login",
};

static const char *const kept_names[] = {
    [KEPT_NOTHING] = "nothing",
    [KEPT_ORIGINAL] = "original",
    [KEPT_EARLIER] = "earlier",
    [KEPT_SAME] = "same",
};

void journal_kept_name(const char *path, enum journal_kept kept, char out[TREE_PATH_SIZE])
{
    tree_spare(path, kept == KEPT_ORIGINAL ? "before" : "rollback", out);
}

struct journal_value *journal_find(struct journal *journal, const char *key)
{
    for (size_t i = 0; i < journal->value_count; i++) {
        if (strcmp(journal->values[i].key, key) == 0) {
            return &journal->values[i];
        }
    }
    return NULL;
}

uint64_t journal_digest(struct slice text)
{
    /* Against accidents, not against attackers: who can write here is root. */
    static const uint64_t key[2] = {0x6c696d7065742d74, 0x756e65206a726e6c};

    return siphash(key, text);
}

static void encode_fact(FILE *out, const char *name, const char *value)
{
    text_print(out, "%s ", name);
    for (const char *p = value; *p != '\0'; p++) {
        const unsigned char c = (unsigned char)*p;
        if (c == '\\' || c < 0x20 || c >= 0x7f) {
            text_print(out, "\\x%02x", c);
        } else {
            text_print(out, "%c", c);
        }
    }
    text_print(out, "\n");
}

static void encode_entries(const struct journal *journal, FILE *out)
{
    for (size_t i = 0; i < journal->value_count; i++) {
        const struct journal_value *value = &journal->values[i];
        encode_fact(out, "value", value->key);
        encode_fact(out, "kind", kind_names[value->kind]);
        encode_fact(out, "to", value->to);
        encode_fact(out, "before", value->old[GOAL_BEFORE]);
        encode_fact(out, "original", value->old[GOAL_ORIGINAL]);
        encode_fact(out, "source", value->source);
        encode_fact(out, "why", value->why);
        encode_fact(out, "absent", value->is_absent ? "is" : value->may_be_absent ? "maybe" : "no");
    }
    for (size_t i = 0; i < journal->folder_count; i++) {
        encode_fact(out, "folder", journal->folders[i].path);
        encode_fact(out, "made", journal->folders[i].is_earlier ? "earlier" : "now");
    }
    for (size_t i = 0; i < journal->file_count; i++) {
        const struct journal_file *file = &journal->files[i];
        encode_fact(out, "file", file->path);
        encode_fact(out, "before", kept_names[file->old[GOAL_BEFORE]]);
        encode_fact(out, "original", kept_names[file->old[GOAL_ORIGINAL]]);
        encode_fact(out, "text", file->text);
    }
}

void journal_encode(const struct journal *journal, FILE *out)
{
    char *text = NULL;
    size_t size = 0;
    FILE *lines = open_memstream(&text, &size);

    if (lines == NULL) {
        return; /* an empty text is refused by whoever reads it back */
    }
    text_print(lines, "%s\n", FIRST_LINE);
    encode_fact(lines, "time", journal->time);
    encode_fact(lines, "boot", journal->boot);
    encode_fact(lines, "kernel", journal->kernel);
    encode_fact(lines, "inputs", journal->inputs);
    encode_fact(lines, "store", journal->made_store ? "made" : "found");
    encode_entries(journal, lines);
    if (fclose(lines) == 0) {
        text_print(out, "%send %016llx\n", text,
                   (unsigned long long)journal_digest(slice_from(text, size)));
    }
    free(text);
}

/* In place; false for what encode_fact does not write. */
static bool unescape(char *value)
{
    char *to = value;

    for (const char *from = value; *from != '\0'; from++) {
        if (*from != '\\') {
            if ((unsigned char)*from < 0x20 || (unsigned char)*from >= 0x7f) {
                return false;
            }
            *to++ = *from;
            continue;
        }
        if (from[1] != 'x' || !isxdigit((unsigned char)from[2]) ||
            !isxdigit((unsigned char)from[3])) {
            return false;
        }
        const char digits[3] = {from[2], from[3], '\0'};
        const char byte = (char)strtoul(digits, NULL, 16);
        if (byte == '\0') {
            return false;
        }
        *to++ = byte;
        from += 3;
    }
    *to = '\0';
    return true;
}

static bool copy(char *out, size_t size, const char *value)
{
    const size_t length = strlen(value);

    if (length >= size) {
        return false;
    }
    memcpy(out, value, length + 1);
    return true;
}

#define COPY(out, value) copy((out), sizeof(out), (value))

static bool decode_kept(const char *text, enum journal_kept *out)
{
    for (enum journal_kept kept = KEPT_NOTHING; kept <= KEPT_SAME; kept++) {
        if (strcmp(text, kept_names[kept]) == 0) {
            *out = kept;
            return true;
        }
    }
    return false;
}

static bool decode_kind(const char *text, enum change_kind *out)
{
    for (enum change_kind kind = CHANGE_SYSCTL; kind <= CHANGE_LOGIN_LIMIT; kind++) {
        if (strcmp(text, kind_names[kind]) == 0) {
            *out = kind;
            return true;
        }
    }
    return false;
}

static bool decode_of_value(struct journal_value *value, const struct fact *fact)
{
    if (strcmp(fact->name, "kind") == 0) {
        return decode_kind(fact->value, &value->kind);
    }
    if (strcmp(fact->name, "to") == 0) {
        return COPY(value->to, fact->value);
    }
    if (strcmp(fact->name, "before") == 0) {
        return COPY(value->old[GOAL_BEFORE], fact->value);
    }
    if (strcmp(fact->name, "original") == 0) {
        return COPY(value->old[GOAL_ORIGINAL], fact->value);
    }
    if (strcmp(fact->name, "source") == 0) {
        return COPY(value->source, fact->value);
    }
    if (strcmp(fact->name, "why") == 0) {
        return COPY(value->why, fact->value);
    }
    if (strcmp(fact->name, "absent") == 0) {
        value->is_absent = strcmp(fact->value, "is") == 0;
        value->may_be_absent = value->is_absent || strcmp(fact->value, "maybe") == 0;
        return value->may_be_absent || strcmp(fact->value, "no") == 0;
    }
    return false;
}

static bool decode_of_file(struct journal_file *file, const struct fact *fact)
{
    if (strcmp(fact->name, "before") == 0) {
        return decode_kept(fact->value, &file->old[GOAL_BEFORE]);
    }
    if (strcmp(fact->name, "original") == 0) {
        return decode_kept(fact->value, &file->old[GOAL_ORIGINAL]) &&
               file->old[GOAL_ORIGINAL] <= KEPT_ORIGINAL;
    }
    return strcmp(fact->name, "text") == 0 && COPY(file->text, fact->value);
}

/* A line that begins an entry. */
static bool decode_entry(struct decoding *decoding, const struct fact *fact)
{
    struct journal *journal = decoding->journal;

    decoding->value = NULL;
    decoding->file = NULL;
    decoding->folder = NULL;
    if (strcmp(fact->name, "value") == 0 && journal->value_count < JOURNAL_VALUES_MAX) {
        if (!live_is_key(fact->value) || journal_find(journal, fact->value)) {
            return false;
        }
        decoding->value = &journal->values[journal->value_count++];
        return COPY(decoding->value->key, fact->value);
    }
    if (strcmp(fact->name, "file") == 0 && journal->file_count < JOURNAL_FILES_MAX) {
        decoding->file = &journal->files[journal->file_count++];
        return drop_in_is_file(fact->value) && COPY(decoding->file->path, fact->value);
    }
    if (strcmp(fact->name, "folder") == 0 && journal->folder_count < JOURNAL_FOLDERS_MAX) {
        decoding->folder = &journal->folders[journal->folder_count++];
        return drop_in_is_folder(fact->value) && COPY(decoding->folder->path, fact->value);
    }
    return false;
}

static bool decode_head(struct journal *journal, const struct fact *fact)
{
    if (strcmp(fact->name, "time") == 0) {
        return COPY(journal->time, fact->value);
    }
    if (strcmp(fact->name, "boot") == 0) {
        return COPY(journal->boot, fact->value);
    }
    if (strcmp(fact->name, "kernel") == 0) {
        return COPY(journal->kernel, fact->value);
    }
    if (strcmp(fact->name, "inputs") == 0) {
        return COPY(journal->inputs, fact->value);
    }
    if (strcmp(fact->name, "store") == 0) {
        journal->made_store = strcmp(fact->value, "made") == 0;
        return journal->made_store || strcmp(fact->value, "found") == 0;
    }
    return false;
}

static bool decode_fact(struct decoding *decoding, const struct fact *fact)
{
    if (decoding->value && decode_of_value(decoding->value, fact)) {
        return true;
    }
    if (decoding->file && decode_of_file(decoding->file, fact)) {
        return true;
    }
    if (decoding->folder && strcmp(fact->name, "made") == 0) {
        decoding->folder->is_earlier = strcmp(fact->value, "earlier") == 0;
        return decoding->folder->is_earlier || strcmp(fact->value, "now") == 0;
    }
    return decode_entry(decoding, fact) || decode_head(decoding->journal, fact);
}

/* The size of the text before the last line, which must hold the digest of it; 0 when not. */
static size_t check_end(const char *text, size_t size)
{
    static const char label[] = "end ";
    const size_t end_size = strlen(label) + 16 + 1;
    char wanted[32];

    if (size < end_size || text[size - 1] != '\n' || memchr(text, '\0', size) != NULL) {
        return 0;
    }
    size -= end_size;
    (void)snprintf(wanted, sizeof(wanted), "%s%016llx\n", label,
                   (unsigned long long)journal_digest(slice_from(text, size)));
    return memcmp(text + size, wanted, end_size) == 0 ? size : 0;
}

bool journal_decode(struct journal *journal, char *text, size_t size,
                    char message[JOURNAL_LINE_SIZE])
{
    struct decoding decoding = {.journal = journal};
    char *rest = text;
    int line_number = 1;

    memset(journal, 0, sizeof(*journal));
    size = check_end(text, size);
    if (size == 0) {
        (void)snprintf(message, JOURNAL_LINE_SIZE, "it is cut, or was changed");
        return false;
    }
    text[size] = '\0';
    const char *first = strsep(&rest, "\n");
    if (strcmp(first, FIRST_LINE) != 0) {
        (void)snprintf(message, JOURNAL_LINE_SIZE, "its first line is not '%s'", FIRST_LINE);
        return false;
    }
    while (rest && *rest != '\0') {
        char *value = strsep(&rest, "\n");
        const char *name = strsep(&value, " ");
        line_number++;
        if (!value || !unescape(value) ||
            !decode_fact(&decoding, &(struct fact){.name = name, .value = value})) {
            (void)snprintf(message, JOURNAL_LINE_SIZE, "line %d (%.40s) is not understood",
                           line_number, name);
            return false;
        }
    }
    return true;
}
