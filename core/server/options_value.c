#include "server/options_value.h"

#include "io/endpoint.h"
#include "io/networks.h"

#include <stdarg.h>
#include <stdlib.h>

struct unit {
    const char *name;
    uint64_t factor; /* in the smallest unit of the kind */
};

static const struct unit durations[] = {{"d", 86400000}, {"h", 3600000}, {"m", 60000},
                                        {"s", 1000},     {"ms", 1},      {NULL, 0}};
static const struct unit sizes[] = {{"GB", 1 << 30}, {"MB", 1 << 20}, {"KB", 1 << 10},
                                    {"B", 1},        {"", 1},         {NULL, 0}};
static const struct unit numbers[] = {{"", 1}, {NULL, 0}};

static const struct unit *units_of(const struct option_row *row)
{
    if (row->kind == OPTION_DURATION_MS || row->kind == OPTION_DURATION_S) {
        return durations;
    }
    return row->kind == OPTION_SIZE ? sizes : numbers;
}

/* A field of seconds counts in milliseconds until it is stored. */
static uint64_t scale_of(const struct option_row *row)
{
    return row->kind == OPTION_DURATION_S ? 1000 : 1;
}

/* Writes the message; -1, so that it can be returned. */
static PRINTF_LIKE(3, 4) int fail(char *message, size_t message_size, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    (void)vsnprintf(message, message_size, format, list);
    va_end(list);
    return -1;
}

/* --- numbers ---------------------------------------------------------------------------------- */

void option_number_format(const struct option_row *row, uint32_t number,
                          char out[OPTION_VALUE_TEXT_MAX])
{
    const struct unit *unit = units_of(row);
    uint64_t value = number * scale_of(row);

    if (value == 0) {
        (void)snprintf(out, OPTION_VALUE_TEXT_MAX, "0");
        return;
    }
    while (value % unit->factor != 0) {
        unit++;
    }
    /* "300B" is a size, too, but nobody writes it. */
    (void)snprintf(out, OPTION_VALUE_TEXT_MAX, "%llu%s", (unsigned long long)(value / unit->factor),
                   strcmp(unit->name, "B") == 0 ? "" : unit->name);
}

/* Digits, then a unit. False also when it is larger than any field. */
static bool parse_number(const struct unit *units, const char *text, uint64_t *value)
{
    *value = 0;
    if (*text < '0' || *text > '9') {
        return false;
    }
    for (; *text >= '0' && *text <= '9'; text++) {
        *value = *value * 10 + (uint64_t)(*text - '0');
        if (*value > UINT32_MAX) {
            return false;
        }
    }
    if (*text == 0 && *value == 0) {
        return true; /* no unit can make a difference */
    }
    for (const struct unit *unit = units; unit->name; unit++) {
        if (strcmp(text, unit->name) == 0) {
            *value *= unit->factor;
            return true;
        }
    }
    return false;
}

static const char *form_of(const struct option_row *row)
{
    if (units_of(row) == durations) {
        return "a duration, a whole number with ms, s, m, h or d, as in 25s";
    }
    return units_of(row) == sizes
               ? "a size, a whole number of bytes or with KB, MB or GB, as in 64KB"
               : "a whole number";
}

static int set_number(uint32_t *place, const struct option_row *row, const char *text,
                      char *message, size_t message_size)
{
    char min[OPTION_VALUE_TEXT_MAX];
    char max[OPTION_VALUE_TEXT_MAX];
    uint64_t scale = scale_of(row);
    uint64_t value;

    option_number_format(row, row->min, min);
    option_number_format(row, row->max, max);
    if (!parse_number(units_of(row), text, &value)) {
        return fail(message, message_size, "\"%s\" is not %s; allowed: %s%s to %s", text,
                    form_of(row), row->check == OPTION_ZERO ? "0, or " : "", min, max);
    }
    bool is_zero = value == 0 && row->check == OPTION_ZERO;
    if (!is_zero && (value < row->min * scale || value > row->max * scale)) {
        return fail(message, message_size, "%s is out of range; allowed: %s%s to %s", text,
                    row->check == OPTION_ZERO ? "0, or " : "", min, max);
    }
    if (value % scale != 0) {
        return fail(message, message_size, "%s: whole seconds are allowed only", text);
    }
    if (row->check == OPTION_POWER_OF_TWO && (value & (value - 1)) != 0) {
        return fail(message, message_size, "%s is no power of two; allowed: those from %s to %s",
                    text, min, max);
    }
    *place = (uint32_t)(value / scale);
    return 0;
}

/* --- texts ------------------------------------------------------------------------------------ */

/* What is no part of a path, or has to be percent-encoded, never comes in a request (RFC 3986). */
static bool is_path(const char *text)
{
    for (const char *p = text; *p; p++) {
        if (*p <= ' ' || *p > '~' || *p == '?' || *p == '#') {
            return false;
        }
    }
    return text[0] == '/';
}

static bool is_http_token(const char *text)
{
    for (const char *p = text; *p; p++) {
        bool alphanumeric =
            (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z');
        if (!alphanumeric && !strchr("!#$%&'*+-.^_`|~", *p)) {
            return false;
        }
    }
    return true;
}

static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");

    return host && host > text && host[3] != 0 && !strpbrk(host + 3, "/?# ");
}

static bool has_control_character(const char *text)
{
    for (; *text; text++) {
        if ((uint8_t)*text < 0x20 || *text == 0x7f) {
            return true;
        }
    }
    return false;
}

static bool is_network(const char *text)
{
    struct networks networks = {.ranges = NULL};
    const int error = networks_add(&networks, slice_text(text));

    networks_close(&networks);
    return error == 0;
}

/* NULL, or what is allowed. */
static const char *check_text(enum option_check check, const char *text)
{
    struct sockaddr_in6 address;
    struct endpoint endpoint;

    if (has_control_character(text)) {
        return "text without control characters";
    }
    if (text[0] == 0) {
        bool may_be_empty = check == OPTION_MAY_BE_EMPTY || check == OPTION_ADDRESS_OR_EMPTY;
        return may_be_empty ? NULL : "text that is not empty";
    }
    switch (check) {
    case OPTION_ENDPOINT:
        return endpoint_parse(slice_text(text), &endpoint) == 0 ? NULL : ENDPOINT_ALLOWED;
    case OPTION_ADDRESS_OR_EMPTY:
        return address_parse(slice_text(text), &address) == 0 ? NULL
                                                              : "PORT, A.B.C.D:PORT or [IPv6]:PORT";
    case OPTION_PATH:
        return is_path(text) ? NULL : "a path that begins with /, as it stands in a request line";
    case OPTION_ORIGIN:
        return is_origin(text) ? NULL : "scheme://host or scheme://host:port, without a path";
    case OPTION_NETWORK:
        return is_network(text) ? NULL : "a network, as 192.0.2.0/24, 192.0.2.7 or 2001:db8::/32";
    case OPTION_HTTP_TOKEN:
        return is_http_token(text) ? NULL : "letters, digits and !#$%&'*+-.^_`|~";
    case OPTION_ANY:
    case OPTION_MAY_BE_EMPTY:
    case OPTION_ZERO:
    case OPTION_POWER_OF_TWO:
        break;
    }
    return NULL;
}

static int set_text(char **place, const struct option_row *row, const char *text, char *message,
                    size_t message_size)
{
    const char *allowed = check_text(row->check, text);
    char *copy;

    if (allowed) {
        return fail(message, message_size, "\"%s\" is not allowed; allowed: %s", text, allowed);
    }
    copy = strdup(text);
    ASSERT(copy);
    free(*place);
    *place = copy;
    return 0;
}

/* The index of text in NAME|NAME|..., or -1. */
static int index_of(const char *names, const char *text)
{
    size_t size = strlen(text);
    int index = 0;

    while (size > 0) {
        size_t name_size = strcspn(names, "|");
        if (name_size == size && strncmp(names, text, size) == 0) {
            return index;
        }
        if (names[name_size] == 0) {
            break;
        }
        names += name_size + 1;
        index++;
    }
    return -1;
}

static int set_bool(bool *place, const char *text, char *message, size_t message_size)
{
    /* YAML 1.1 has all of these; the even ones are true. */
    int index = index_of("true|false|yes|no|on|off", text);

    if (index < 0) {
        return fail(message, message_size, "\"%s\" is not allowed; allowed: true or false", text);
    }
    *place = index % 2 == 0;
    return 0;
}

/* The table names them in the order of the enums. */
static int set_choice(unsigned *place, const struct option_row *row, const char *text,
                      char *message, size_t message_size)
{
    int index = index_of(row->info.value, text);

    if (index < 0) {
        return fail(message, message_size, "\"%s\" is not allowed; allowed: %s", text,
                    row->info.value);
    }
    *place = (unsigned)index;
    return 0;
}

void option_value_print(const void *place, const struct option_row *row, FILE *out)
{
    char number[OPTION_VALUE_TEXT_MAX];
    const char *text = NULL;

    switch (row->kind) {
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_DURATION_MS:
    case OPTION_DURATION_S:
        option_number_format(row, *(const uint32_t *)place, number);
        text = number;
        break;
    case OPTION_BOOL:
        text = *(const bool *)place ? "true" : "false";
        break;
    case OPTION_TEXT:
        text = *(char *const *)place;
        break;
    case OPTION_CHOICE:
        text = row->info.value;
        for (unsigned i = *(const unsigned *)place; i > 0; i--) {
            text += strcspn(text, "|") + 1;
        }
        (void)fprintf(out, "%.*s", (int)strcspn(text, "|"), text);
        return;
    case OPTION_NAMES:
    case OPTION_CERTIFICATES:
    case OPTION_KEYS:
    case OPTION_NAMESPACES:
        ASSERT(false);
    }
    if (!text) {
        text = "unset";
    }
    (void)fprintf(out, "%s", text[0] ? text : "\"\"");
}

int option_value_set(void *place, const struct option_row *row, const char *value, char *message,
                     size_t message_size)
{
    switch (row->kind) {
    case OPTION_NUMBER:
    case OPTION_SIZE:
    case OPTION_DURATION_MS:
    case OPTION_DURATION_S:
        return set_number(place, row, value, message, message_size);
    case OPTION_BOOL:
        return set_bool(place, value, message, message_size);
    case OPTION_TEXT:
        return set_text(place, row, value, message, message_size);
    case OPTION_CHOICE:
        return set_choice(place, row, value, message, message_size);
    case OPTION_NAMES:
    case OPTION_CERTIFICATES:
    case OPTION_KEYS:
    case OPTION_NAMESPACES:
        break;
    }
    ASSERT(false); /* lists are set by entries */
    return -1;
}

/* --- lists ------------------------------------------------------------------------------------ */

int option_entry_add(struct options *options, const struct option_row *row,
                     const char *const *texts, char *message, size_t message_size)
{
    struct option_list list = option_list_of(options, row);
    uint32_t first = *list.count * list.text_count;
    struct namespace made = {0};

    if (*list.count == list.count_max) {
        return fail(message, message_size, "more than %u entries", list.count_max);
    }
    for (uint32_t i = 0; i < list.text_count; i++) {
        const char *allowed = texts[i] ? check_text(row->check, texts[i]) : NULL;
        if (allowed) {
            return fail(message, message_size, "\"%s\" is not allowed; allowed: %s", texts[i],
                        allowed);
        }
        if (!texts[i] && list.required[i]) {
            return fail(message, message_size, "an entry without %s", list.names[i]);
        }
    }
    if (row->kind == OPTION_NAMESPACES &&
        option_namespace_make(&options->namespaces, texts, &made, message, message_size) != 0) {
        return -1;
    }
    for (uint32_t i = 0; i < list.text_count; i++) {
        list.texts[first + i] = texts[i] ? strdup(texts[i]) : NULL;
        ASSERT(!texts[i] || list.texts[first + i]);
    }
    if (row->kind == OPTION_NAMESPACES) {
        made.name = list.texts[first];
        options->namespaces.entries[*list.count] = made;
    }
    *list.count += 1;
    return 0;
}

/* Cuts text at its first separator; NULL when it has none. */
static char *cut(char *text, char separator)
{
    char *found = strchr(text, separator);

    if (found) {
        *found++ = 0;
    }
    return found;
}

/* A namespace: NAME, then :KEY=VALUE for what is not the default. */
static int add_flag_namespace(struct options *options, const struct option_row *row, char *entry,
                              char *message, size_t message_size)
{
    struct option_list list = option_list_of(options, row);
    const char *texts[OPTION_TEXTS_MAX] = {entry};
    char *next = cut(entry, ':');

    while (next) {
        char *key = next;
        next = cut(key, ':');
        char *value = cut(key, '=');
        uint32_t i = 1;

        while (i < list.text_count && strcmp(key, list.names[i]) != 0) {
            i++;
        }
        if (i == list.text_count || !value) {
            return fail(message, message_size, "\"%s\" is not KEY=VALUE with a key of a namespace",
                        key);
        }
        texts[i] = value;
    }
    return option_entry_add(options, row, texts, message, message_size);
}

/* One entry as flags have it: NAME, or CHAIN:KEY, or [KID=]ALGORITHM:PATH or PATH. */
static int add_flag_entry(struct options *options, const struct option_row *row, char *entry,
                          char *message, size_t message_size)
{
    const char *texts[OPTION_TEXTS_MAX] = {entry};

    if (row->kind == OPTION_CERTIFICATES) {
        texts[1] = cut(entry, ':');
        if (!texts[1]) {
            return fail(message, message_size, "\"%s\" is not CHAIN:KEY, two files", entry);
        }
    } else if (row->kind == OPTION_KEYS && strncmp(entry, "https://", 8) == 0) {
        texts[0] = NULL;
        texts[2] = entry;
    } else if (row->kind == OPTION_KEYS) {
        char *path = cut(entry, ':');
        char *algorithm = path ? cut(entry, '=') : NULL;

        texts[0] = algorithm ? entry : NULL;
        if (path) {
            texts[1] = algorithm ? algorithm : entry;
        }
        texts[2] = path ? path : entry;
    }
    return option_entry_add(options, row, texts, message, message_size);
}

int option_list_add(struct options *options, const struct option_row *row, const char *value,
                    char *message, size_t message_size)
{
    char *copy = strdup(value);
    int result = 0;

    ASSERT(copy);
    for (char *entry = copy; entry && result == 0;) {
        char *next = cut(entry, ',');
        result = row->kind == OPTION_NAMESPACES
                     ? add_flag_namespace(options, row, entry, message, message_size)
                     : add_flag_entry(options, row, entry, message, message_size);
        entry = next;
    }
    free(copy);
    return result;
}
