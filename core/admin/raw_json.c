#include "admin/raw_json.h"

#include "base/codepoint.h"

/* Where the check has come to. */
struct checker {
    const uint8_t *data;
    size_t size;
    size_t at;
    uint32_t depth;
    uint64_t is_array[RAW_JSON_DEPTH_MAX / 64]; /* one bit a level; else an object */
};
static_assert(RAW_JSON_DEPTH_MAX % 64 == 0, "whole words of bits");

static bool is_space(uint8_t byte)
{
    return byte == ' ' || byte == '\n' || byte == '\r' || byte == '\t';
}

static bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

/* The value of a hexadecimal digit, 16 for any other byte. */
static uint32_t hex_value(uint8_t byte)
{
    if (is_digit(byte)) {
        return byte - (uint32_t)'0';
    }
    uint32_t letter = byte | 0x20u;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : 16;
}

/* --- check ------------------------------------------------------------------------------------ */

/* The next byte, 0 at the end: a zero byte is allowed nowhere. */
static uint8_t peek(const struct checker *checker)
{
    return checker->at < checker->size ? checker->data[checker->at] : 0;
}

static void skip_space(struct checker *checker)
{
    while (is_space(peek(checker))) {
        checker->at++;
    }
}

static bool check_word(struct checker *checker, const char *word)
{
    for (; *word; word++) {
        if (peek(checker) != (uint8_t)*word) {
            return false;
        }
        checker->at++;
    }
    return true;
}

static bool check_digits(struct checker *checker)
{
    if (!is_digit(peek(checker))) {
        return false;
    }
    while (is_digit(peek(checker))) {
        checker->at++;
    }
    return true;
}

static bool check_number(struct checker *checker)
{
    if (peek(checker) == '-') {
        checker->at++;
    }
    if (peek(checker) == '0') {
        checker->at++; /* and no digit after it */
    } else if (!check_digits(checker)) {
        return false;
    }
    if (peek(checker) == '.') {
        checker->at++;
        if (!check_digits(checker)) {
            return false;
        }
    }
    if ((peek(checker) | 0x20) == 'e') {
        checker->at++;
        if (peek(checker) == '+' || peek(checker) == '-') {
            checker->at++;
        }
        return check_digits(checker);
    }
    return true;
}

/* After the backslash. */
static bool check_escape(struct checker *checker)
{
    uint8_t byte = peek(checker);

    if (byte == 0 || !strchr("\"\\/bfnrtu", byte)) {
        return false;
    }
    checker->at++;
    for (uint32_t i = 0; byte == 'u' && i < 4; i++) {
        if (hex_value(peek(checker)) > 15) {
            return false;
        }
        checker->at++;
    }
    return true;
}

static bool check_string(struct checker *checker)
{
    if (peek(checker) != '"') {
        return false;
    }
    checker->at++;
    for (;;) {
        uint8_t byte = peek(checker);
        if (byte < 0x20) {
            return false; /* or the end */
        }
        if (byte < 0x80) {
            checker->at++;
            if (byte == '"') {
                return true;
            }
            if (byte == '\\' && !check_escape(checker)) {
                return false;
            }
            continue;
        }
        size_t size =
            code_point_size(slice_from(checker->data + checker->at, checker->size - checker->at));
        if (size == 0) {
            return false;
        }
        checker->at += size;
    }
}

static bool is_in_array(const struct checker *checker)
{
    uint32_t level = checker->depth - 1;

    return (checker->is_array[level / 64] >> level % 64 & 1) != 0;
}

/* A bracket opens. */
static bool enter(struct checker *checker)
{
    uint32_t level = checker->depth;
    uint64_t bit = UINT64_C(1) << level % 64;

    if (level == RAW_JSON_DEPTH_MAX) {
        return false;
    }
    if (checker->data[checker->at] == '[') {
        checker->is_array[level / 64] |= bit;
    } else {
        checker->is_array[level / 64] &= ~bit;
    }
    checker->depth++;
    checker->at++;
    return true;
}

static bool check_name(struct checker *checker)
{
    skip_space(checker);
    if (!check_string(checker)) {
        return false;
    }
    skip_space(checker);
    return check_word(checker, ":");
}

/* A value that is no object or array. */
static bool check_scalar(struct checker *checker)
{
    switch (peek(checker)) {
    case '"':
        return check_string(checker);
    case 't':
        return check_word(checker, "true");
    case 'f':
        return check_word(checker, "false");
    case 'n':
        return check_word(checker, "null");
    default:
        return check_number(checker);
    }
}

/* The start of a value; *is_open: it has members or items, and the first is next. */
static bool check_start(struct checker *checker, bool *is_open)
{
    skip_space(checker);
    uint8_t byte = peek(checker);
    *is_open = false;
    if (byte != '{' && byte != '[') {
        return check_scalar(checker);
    }
    if (!enter(checker)) {
        return false;
    }
    skip_space(checker);
    if (peek(checker) == (byte == '{' ? '}' : ']')) {
        checker->at++;
        checker->depth--;
        return true;
    }
    *is_open = true;
    return byte == '[' || check_name(checker);
}

/* After a value: brackets that close, until a comma says that another value follows. */
static bool check_ends(struct checker *checker)
{
    while (checker->depth > 0) {
        skip_space(checker);
        uint8_t byte = peek(checker);
        bool in_array = is_in_array(checker);
        if (byte != ',' && byte != (in_array ? ']' : '}')) {
            return false;
        }
        checker->at++;
        if (byte == ',') {
            return in_array || check_name(checker);
        }
        checker->depth--;
    }
    return true;
}

bool raw_json_check(struct slice text, size_t *bad_at)
{
    struct checker checker = {.data = text.data, .size = text.size};
    bool is_open;

    do {
        if (!check_start(&checker, &is_open) || (!is_open && !check_ends(&checker))) {
            *bad_at = checker.at;
            return false;
        }
    } while (checker.depth > 0);
    skip_space(&checker);
    *bad_at = checker.at;
    return checker.at == text.size;
}

/* --- values ----------------------------------------------------------------------------------- */

static void skip_bytes(struct slice *text, size_t count)
{
    ASSERT(count <= text->size);
    text->data += count;
    text->size -= count;
}

static void skip_spaces(struct slice *text)
{
    while (text->size > 0 && is_space(text->data[0])) {
        skip_bytes(text, 1);
    }
}

/* Bytes of the string at the start of text, with its quotes. */
static size_t string_size(struct slice text)
{
    size_t at = 1;

    while (text.data[at] != '"') {
        at += text.data[at] == '\\' ? 2 : 1;
    }
    return at + 1;
}

/* Bytes of the value at the start of text. */
static size_t value_size(struct slice text)
{
    uint32_t depth = 0;
    size_t at = 0;

    do {
        uint8_t byte = text.data[at];
        if (byte == '"') {
            at += string_size(slice_from(text.data + at, text.size - at));
            continue;
        }
        if (byte == '{' || byte == '[') {
            depth++;
        } else if (byte == '}' || byte == ']') {
            depth--;
        } else if (depth == 0) {
            while (at < text.size && !is_space(text.data[at]) && !strchr(",]}", text.data[at])) {
                at++;
            }
            return at;
        }
        at++;
    } while (depth > 0);
    return at;
}

struct slice raw_json_trim(struct slice text)
{
    skip_spaces(&text);
    while (text.size > 0 && is_space(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

enum raw_json_kind raw_json_kind_of(struct slice value)
{
    switch (value.data[0]) {
    case '{':
        return RAW_JSON_OBJECT;
    case '[':
        return RAW_JSON_ARRAY;
    case '"':
        return RAW_JSON_STRING;
    case 't':
        return RAW_JSON_TRUE;
    case 'f':
        return RAW_JSON_FALSE;
    case 'n':
        return RAW_JSON_NULL;
    default:
        return RAW_JSON_NUMBER;
    }
}

/* The value at the start of *rest. */
static struct slice take_value(struct slice *rest)
{
    struct slice value = slice_from(rest->data, value_size(*rest));

    skip_bytes(rest, value.size);
    return value;
}

/* Past the bracket or comma before the next one; false at the closing bracket. */
static bool find_next(struct slice *rest)
{
    skip_spaces(rest);
    uint8_t byte = rest->data[0];
    if (byte == '}' || byte == ']') {
        return false;
    }
    skip_bytes(rest, 1);
    skip_spaces(rest);
    return rest->data[0] != '}' && rest->data[0] != ']'; /* empty */
}

bool raw_json_next_member(struct slice *rest, struct slice *name, struct slice *value)
{
    if (!find_next(rest)) {
        return false;
    }
    *name = take_value(rest);
    skip_spaces(rest);
    skip_bytes(rest, 1); /* the colon */
    skip_spaces(rest);
    *value = take_value(rest);
    return true;
}

bool raw_json_next_item(struct slice *rest, struct slice *value)
{
    if (!find_next(rest)) {
        return false;
    }
    *value = take_value(rest);
    return true;
}

size_t raw_json_compact(struct slice value, uint8_t *out)
{
    size_t written = 0;

    for (size_t at = 0; at < value.size;) {
        size_t size = 1;
        if (value.data[at] == '"') {
            size = string_size(slice_from(value.data + at, value.size - at));
        } else if (is_space(value.data[at])) {
            at++;
            continue;
        }
        memmove(out + written, value.data + at, size);
        written += size;
        at += size;
    }
    return written;
}

/* --- strings and numbers ---------------------------------------------------------------------- */

static uint32_t decode_hex(const uint8_t *digits)
{
    return hex_value(digits[0]) << 12 | hex_value(digits[1]) << 8 | hex_value(digits[2]) << 4 |
           hex_value(digits[3]);
}

static size_t encode_code_point(uint32_t code_point, uint8_t *out)
{
    if (code_point < 0x80) {
        out[0] = (uint8_t)code_point;
        return 1;
    }
    if (code_point < 0x800) {
        out[0] = (uint8_t)(0xc0 | code_point >> 6);
        out[1] = (uint8_t)(0x80 | (code_point & 0x3f));
        return 2;
    }
    if (code_point < 0x10000) {
        out[0] = (uint8_t)(0xe0 | code_point >> 12);
        out[1] = (uint8_t)(0x80 | (code_point >> 6 & 0x3f));
        out[2] = (uint8_t)(0x80 | (code_point & 0x3f));
        return 3;
    }
    out[0] = (uint8_t)(0xf0 | code_point >> 18);
    out[1] = (uint8_t)(0x80 | (code_point >> 12 & 0x3f));
    out[2] = (uint8_t)(0x80 | (code_point >> 6 & 0x3f));
    out[3] = (uint8_t)(0x80 | (code_point & 0x3f));
    return 4;
}

/* text starts at a backslash. The code point, and how many bytes stand for it; UINT32_MAX for half
 * a pair (RFC 8259, section 8.2). */
static uint32_t decode_escape(struct slice text, size_t *taken)
{
    static const char letters[] = "bfnrt";
    static const char values[] = "\b\f\n\r\t";
    uint8_t letter = text.data[1];

    *taken = 2;
    if (letter != 'u') {
        const char *found = strchr(letters, letter);
        return found ? (uint8_t)values[found - letters] : letter;
    }
    uint32_t unit = decode_hex(text.data + 2);
    *taken = 6;
    if (unit < 0xd800 || unit > 0xdfff) {
        return unit;
    }
    if (unit > 0xdbff || text.size < 12 || text.data[6] != '\\' || text.data[7] != 'u') {
        return UINT32_MAX;
    }
    uint32_t low = decode_hex(text.data + 8);
    *taken = 12;
    return low >= 0xdc00 && low <= 0xdfff ? 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
                                          : UINT32_MAX;
}

int64_t raw_json_decode_string(struct slice value, uint8_t *out)
{
    struct slice text = slice_from(value.data + 1, value.size - 2);
    size_t written = 0;

    while (text.size > 0) {
        size_t taken = 1;
        if (text.data[0] == '\\') {
            uint32_t code_point = decode_escape(text, &taken);
            if (code_point == UINT32_MAX) {
                return -1;
            }
            written += encode_code_point(code_point, out + written);
        } else {
            out[written++] = text.data[0];
        }
        skip_bytes(&text, taken);
    }
    return (int64_t)written;
}

bool raw_json_decode_integer(struct slice value, int64_t *number)
{
    bool is_negative = value.data[0] == '-';
    int64_t sum = 0; /* negative: there is one more of these */

    for (size_t i = is_negative ? 1 : 0; i < value.size; i++) {
        if (!is_digit(value.data[i]) || __builtin_mul_overflow(sum, 10, &sum) ||
            __builtin_sub_overflow(sum, value.data[i] - '0', &sum)) {
            return false;
        }
    }
    if (!is_negative && sum == INT64_MIN) {
        return false;
    }
    *number = is_negative ? sum : -sum;
    return true;
}
