/*
 * Fuzzes the lines of sysctl.d files, units and profiles. Whatever the text is: slices lie in it,
 * numbers of lines go up, a line that names a key does so however it is written, and one with a
 * glob is read in bounded time.
 */
#include "tuning/setting_lines.h"

#include <stdlib.h>

static void require(bool holds)
{
    if (!holds) {
        abort();
    }
}

static void require_inside(struct slice slice, const char *text, size_t size)
{
    const uint8_t *begin = (const uint8_t *)text;

    require(slice.size == 0 || (slice.data >= begin && slice.data + slice.size <= begin + size));
    require(slice.size == 0 || memchr(slice.data, '\n', slice.size) == NULL);
}

/* A line with dots and the same with slashes are the same to systemd. */
static void require_alike(const struct setting_line *line)
{
    struct setting_line other = *line;
    uint8_t name[256];
    bool has_dot_first = false;

    if (line->key.size >= sizeof(name)) {
        return;
    }
    for (size_t i = 0; i < line->key.size && !has_dot_first; i++) {
        if (line->key.data[i] == '/') {
            return;
        }
        has_dot_first = line->key.data[i] == '.';
    }
    for (size_t i = 0; i < line->key.size; i++) {
        const uint8_t c = line->key.data[i];
        name[i] = c == '.' ? '/' : c == '/' ? '.' : c;
    }
    other.key = slice_from(name, line->key.size);
    require(setting_line_sets(line, "net.core.somaxconn") ==
            setting_line_sets(&other, "net.core.somaxconn"));
}

/* NOLINTNEXTLINE(readability-identifier-naming): the name is libFuzzer's. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    int number = 0;

    require(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '\0';
    struct setting_line line = {.rest = text};
    while (setting_line_next(&line)) {
        require(line.number > number);
        number = line.number;
        require_inside(line.key, text, size);
        require_inside(line.value, text, size);
        require_inside(line.section, text, size);
        if (setting_line_is(&line, "Service", "net.core.somaxconn")) {
            require(setting_line_sets(&line, "net.core.somaxconn") == MATCH_NAME);
        }
        require_alike(&line);
    }
    require(*line.rest == '\0');
    free(text);
    return 0;
}
