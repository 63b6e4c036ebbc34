#include "tuning/setting_lines.h"

#include "base/glob.h"

#define NAME_SIZE_MAX 256

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct slice strip(struct slice text)
{
    while (text.size > 0 && is_blank(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size > 0 && is_blank(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

bool setting_line_next(struct setting_line *line)
{
    while (*line->rest != '\0') {
        const size_t size = strcspn(line->rest, "\n");
        const struct slice text = strip(slice_from(line->rest, size));
        line->rest += size + (line->rest[size] == '\n');
        line->number++;
        if (text.size == 0 || text.data[0] == '#' || text.data[0] == ';') {
            continue;
        }
        if (text.data[0] == '[' && text.data[text.size - 1] == ']') {
            line->section = slice_from(text.data + 1, text.size - 2);
            continue;
        }
        const uint8_t *equals = memchr(text.data, '=', text.size);
        if (equals == NULL) {
            continue; /* "-key" takes a key out of the globs of others */
        }
        const bool may_fail = text.data[0] == '-';
        const uint8_t *name = text.data + may_fail;
        line->key = strip(slice_from(name, (size_t)(equals - name)));
        line->value = strip(slice_from(equals + 1, text.size - 1 - (size_t)(equals - text.data)));
        return true;
    }
    return false;
}

/* The name of a line with slashes between its parts; false when it is too long to be a sysctl's. */
static bool normalize(struct slice name, char out[NAME_SIZE_MAX])
{
    bool swaps = false;
    bool seen = false;

    if (name.size >= NAME_SIZE_MAX) {
        return false;
    }
    for (size_t i = 0; i < name.size; i++) {
        const char c = (char)name.data[i];
        if (!seen && (c == '.' || c == '/')) {
            seen = true;
            swaps = c == '.';
        }
        out[i] = c;
        if (swaps && (c == '.' || c == '/')) {
            out[i] = c == '.' ? '/' : '.';
        }
    }
    out[name.size] = '\0';
    return true;
}

/* Part by part: a '*' does not go over a slash. */
static bool matches_parts(const char *pattern, const char *path)
{
    for (;;) {
        const size_t pattern_size = strcspn(pattern, "/");
        const size_t path_size = strcspn(path, "/");
        if (!glob_matches(slice_from(pattern, pattern_size), slice_from(path, path_size))) {
            return false;
        }
        if (pattern[pattern_size] != path[path_size]) {
            return false;
        }
        if (pattern[pattern_size] == '\0') {
            return true;
        }
        pattern += pattern_size + 1;
        path += path_size + 1;
    }
}

enum setting_match setting_line_sets(const struct setting_line *line, const char *key)
{
    char name[NAME_SIZE_MAX];
    char wanted[NAME_SIZE_MAX];

    if (!normalize(line->key, name) || !normalize(slice_text(key), wanted)) {
        return MATCH_NOT;
    }
    if (strcmp(name, wanted) == 0) {
        return MATCH_NAME;
    }
    return strpbrk(name, "*?") && matches_parts(name, wanted) ? MATCH_GLOB : MATCH_NOT;
}

bool setting_line_is(const struct setting_line *line, const char *section, const char *key)
{
    return slice_equal(line->section, slice_text(section)) &&
           slice_equal(line->key, slice_text(key));
}
