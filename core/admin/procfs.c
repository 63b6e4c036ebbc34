#include "admin/procfs.h"

#include <fcntl.h>
#include <unistd.h>

struct slice procfs_read(const char *path, char bytes[PROCFS_SIZE_MAX])
{
    size_t size = 0;
    ssize_t taken;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        return slice_from(bytes, 0);
    }
    while ((taken = read(fd, bytes + size, PROCFS_SIZE_MAX - size)) > 0) {
        size += (size_t)taken;
    }
    (void)close(fd);
    return slice_from(bytes, size);
}

/* Cuts the next line off, without its end. False: there is none. */
static bool next_line(struct slice *text, struct slice *line)
{
    if (text->size == 0) {
        return false;
    }
    const uint8_t *end = memchr(text->data, '\n', text->size);
    const size_t size = end ? (size_t)(end - text->data) : text->size;
    const size_t taken = end ? size + 1 : size;
    *line = slice_from(text->data, size);
    *text = slice_from(text->data + taken, text->size - taken);
    return true;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\n';
}

/* Cuts the next word off. False: there is none. */
static bool next_word(struct slice *text, struct slice *word)
{
    size_t start = 0;

    while (start < text->size && is_blank(text->data[start])) {
        start++;
    }
    size_t end = start;
    while (end < text->size && !is_blank(text->data[end])) {
        end++;
    }
    *word = slice_from(text->data + start, end - start);
    *text = slice_from(text->data + end, text->size - end);
    return word->size > 0;
}

static bool is_word(struct slice word, const char *text)
{
    return slice_equal(word, slice_text(text));
}

/* Decimal digits and nothing else, of at most 64 bits. */
static bool read_number(struct slice word, uint64_t *value)
{
    uint64_t number = 0;

    for (size_t i = 0; i < word.size; i++) {
        const uint8_t digit = (uint8_t)(word.data[i] - '0');
        if (digit > 9 || __builtin_mul_overflow(number, 10, &number) ||
            __builtin_add_overflow(number, digit, &number)) {
            return false;
        }
    }
    *value = number;
    return word.size > 0;
}

bool procfs_column(struct slice text, const char *group, const char *name, uint64_t *value)
{
    struct slice names;
    struct slice values;
    struct slice word;
    struct slice number;

    while (next_line(&text, &names) && next_line(&text, &values)) {
        if (!next_word(&names, &word) || !is_word(word, group) || !next_word(&values, &word) ||
            !is_word(word, group)) {
            continue;
        }
        while (next_word(&names, &word) && next_word(&values, &number)) {
            if (is_word(word, name)) {
                return read_number(number, value);
            }
        }
    }
    return false;
}

bool procfs_field(struct slice text, const char *line_name, const char *name, uint64_t *value)
{
    struct slice line;
    struct slice word;
    struct slice number;

    while (next_line(&text, &line)) {
        if (!next_word(&line, &word) || !is_word(word, line_name)) {
            continue;
        }
        while (next_word(&line, &word) && next_word(&line, &number)) {
            if (is_word(word, name)) {
                return read_number(number, value);
            }
        }
    }
    return false;
}

bool procfs_number(struct slice text, uint32_t place, uint64_t *value)
{
    struct slice word;

    for (uint32_t i = 0; next_word(&text, &word); i++) {
        if (i == place) {
            return read_number(word, value);
        }
    }
    return false;
}
