#include "ws/request.h"

/* What a byte may be part of. */
#define TOKEN 0x01u /* tchar */
#define VALUE 0x02u /* of a header: visible, white space, or above ASCII */
#define TARGET                                                                                     \
    0x04u             /* visible; browsers send some that RFC 3986 would have encoded. No fragment \
                       */
#define HOST    0x08u /* reg-name */
#define TOKEN68 0x10u /* also '=', wherever it stands */
#define EVERY   (TOKEN | VALUE | TARGET | HOST | TOKEN68)
#define VISIBLE (VALUE | TARGET)

static const uint8_t classes[256] = {
    ['\t'] = VALUE,
    [' '] = VALUE,
    ['!'] = VISIBLE | TOKEN | HOST,
    ['"'] = VISIBLE,
    ['#'] = VALUE | TOKEN,
    ['$' ... '\''] = VISIBLE | TOKEN | HOST,
    ['(' ... ')'] = VISIBLE | HOST,
    ['*'] = VISIBLE | TOKEN | HOST,
    ['+'] = EVERY,
    [','] = VISIBLE | HOST,
    ['-' ... '.'] = EVERY,
    ['/'] = VISIBLE | TOKEN68,
    ['0' ... '9'] = EVERY,
    [':'] = VISIBLE,
    [';'] = VISIBLE | HOST,
    ['<'] = VISIBLE,
    ['='] = VISIBLE | HOST | TOKEN68,
    ['>' ... '@'] = VISIBLE,
    ['A' ... 'Z'] = EVERY,
    ['[' ... ']'] = VISIBLE,
    ['^'] = VISIBLE | TOKEN,
    ['_'] = EVERY,
    ['`'] = VISIBLE | TOKEN,
    ['a' ... 'z'] = EVERY,
    ['{'] = VISIBLE,
    ['|'] = VISIBLE | TOKEN,
    ['}'] = VISIBLE,
    ['~'] = EVERY,
    [0x80 ... 0xff] = VALUE,
};

static bool is_all(struct slice text, unsigned class)
{
    for (size_t i = 0; i < text.size; i++) {
        if ((classes[text.data[i]] & class) == 0) {
            return false;
        }
    }
    return true;
}

bool request_is_token(struct slice text)
{
    return text.size > 0 && is_all(text, TOKEN);
}

bool request_is_token68(struct slice text)
{
    return text.size > 0 && is_all(text, TOKEN68);
}

static struct slice skip(struct slice text, size_t size)
{
    return slice_from(text.data + size, text.size - size);
}

/* The bytes before the first mark, or all. */
static struct slice until(struct slice text, uint8_t mark)
{
    const uint8_t *end = text.size > 0 ? memchr(text.data, mark, text.size) : NULL;
    return end == NULL ? text : slice_from(text.data, (size_t)(end - text.data));
}

static bool is_white(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

static struct slice trim(struct slice text)
{
    while (text.size > 0 && is_white(text.data[0])) {
        text = skip(text, 1);
    }
    while (text.size > 0 && is_white(text.data[text.size - 1])) {
        text.size--;
    }
    return text;
}

static bool is_digits(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') {
            return false;
        }
    }
    return true;
}

/* Inside the brackets of an IPv6 address; which addresses exist is no business of this server. */
static bool is_address(struct slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t lower = text.data[i] | 0x20;
        bool is_letter = lower >= 'a' && lower <= 'f';
        bool is_mark = text.data[i] == ':' || text.data[i] == '.';
        if (!is_letter && !is_mark && !is_digits(slice_from(text.data + i, 1))) {
            return false;
        }
    }
    return text.size > 0;
}

bool request_is_host(struct slice text)
{
    struct slice name;

    if (text.size > 0 && text.data[0] == '[') {
        name = until(skip(text, 1), ']');
        if (!is_address(name) || name.size + 1 == text.size) {
            return false;
        }
        text = skip(text, name.size + 2);
    } else {
        name = until(text, ':');
        if (name.size == 0 || !is_all(name, HOST)) {
            return false;
        }
        text = skip(text, name.size);
    }
    return text.size == 0 || (text.data[0] == ':' && text.size <= 6 && is_digits(skip(text, 1)));
}

/* What the method's bytes so far allow; REQUEST_MORE also when it is GET. */
static enum request_status check_method(struct slice line)
{
    size_t size_max = REQUEST_METHOD_SIZE_MAX + 1;
    struct slice method =
        until(slice_from(line.data, line.size < size_max ? line.size : size_max), ' ');

    if (!is_all(method, TOKEN)) {
        return REQUEST_MALFORMED;
    }
    if (method.size > REQUEST_METHOD_SIZE_MAX) {
        return REQUEST_OTHER_METHOD;
    }
    if (method.size == line.size) {
        return REQUEST_MORE;
    }
    if (method.size == 0) {
        return REQUEST_MALFORMED;
    }
    return slice_equal(method, slice_text("GET")) ? REQUEST_MORE : REQUEST_OTHER_METHOD;
}

/* "GET" SP target SP "HTTP/1.1", its method checked already. */
static enum request_status read_request_line(struct slice line, struct slice *target)
{
    static const char version[] = " HTTP/1.1";
    const size_t version_size = sizeof(version) - 1;
    const size_t method_size = 4;

    if (line.size <= method_size + version_size) {
        return REQUEST_MALFORMED;
    }
    struct slice end = skip(line, line.size - version_size);
    const struct slice digits[2] = {slice_from(end.data + 6, 1), slice_from(end.data + 8, 1)};
    if (memcmp(end.data, version, 6) != 0 || end.data[7] != '.' || !is_digits(digits[0]) ||
        !is_digits(digits[1])) {
        return REQUEST_MALFORMED;
    }
    *target = slice_from(line.data + method_size, line.size - method_size - version_size);
    return memcmp(end.data, version, version_size) == 0 ? REQUEST_MORE : REQUEST_OTHER_VERSION;
}

/* The line ends, from the request line on. */
static enum request_status scan_lines(struct slice input, struct request *request)
{
    const uint8_t *fields = NULL;

    for (size_t lines = 0; lines <= REQUEST_FIELDS_MAX + 1; lines++) {
        struct slice line = until(input, '\n');
        if (line.size == input.size) {
            return REQUEST_MORE;
        }
        input = skip(input, line.size + 1);
        if (line.size == 0 || line.data[line.size - 1] != '\r') {
            return REQUEST_MALFORMED;
        }
        line.size--;
        if (fields == NULL) {
            enum request_status status = read_request_line(line, &request->target);
            if (status != REQUEST_MORE) {
                return status;
            }
            fields = input.data;
        } else if (line.size == 0) {
            request->fields = slice_from(fields, (size_t)(line.data - fields));
            return REQUEST_WHOLE;
        } else if (is_white(line.data[0])) {
            return REQUEST_MALFORMED; /* A folded line (section 5.2), or white space before the
                                         first. */
        }
    }
    return REQUEST_TOO_LARGE;
}

enum request_status request_scan(const uint8_t *input, size_t size, size_t size_max,
                                 struct request *request)
{
    struct slice head = slice_from(input, size < size_max ? size : size_max);
    enum request_status status = REQUEST_MORE;

    *request = (struct request){0};
    if (head.size >= 1 && head.data[0] == '\r') {
        if (head.size >= 2 && head.data[1] != '\n') {
            return REQUEST_MALFORMED;
        }
        head = skip(head, head.size >= 2 ? 2 : 1);
    }
    if (head.size > 0) {
        status = check_method(head);
    }
    if (status == REQUEST_MORE && head.size > 0) {
        status = scan_lines(head, request);
    }
    if (status == REQUEST_WHOLE) {
        const uint8_t *end = request->fields.data + request->fields.size + 2;
        request->size = (size_t)(end - input);
    }
    return status == REQUEST_MORE && size >= size_max ? REQUEST_TOO_LARGE : status;
}

/* Takes "scheme://authority" off *target (RFC 9112, section 3.2.2). */
static bool split_authority(struct slice *target, struct slice *authority)
{
    static const char *const schemes[] = {"http", "https", "ws", "wss"};
    struct slice scheme = until(*target, ':');
    bool is_known = false;

    for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
        is_known = is_known || slice_equal_fold(scheme, slice_text(schemes[i]));
    }
    if (!is_known || target->size < scheme.size + 3 ||
        memcmp(target->data + scheme.size, "://", 3) != 0) {
        return false;
    }
    *target = skip(*target, scheme.size + 3);
    *authority = until(until(*target, '/'), '?');
    *target = skip(*target, authority->size);
    return request_is_host(*authority);
}

bool request_split_target(struct slice target, struct request_target *parts)
{
    *parts = (struct request_target){0};
    if (target.size == 0 || !is_all(target, TARGET)) {
        return false;
    }
    if (target.data[0] != '/' && !split_authority(&target, &parts->authority)) {
        return false;
    }
    parts->path = until(target, '?');
    if (parts->path.size < target.size) {
        parts->query = skip(target, parts->path.size + 1);
    }
    if (parts->path.size == 0) {
        parts->path = slice_text("/");
    }
    return true;
}

enum request_field_status request_next_field(struct slice *fields, struct slice *name,
                                             struct slice *value)
{
    if (fields->size == 0) {
        return REQUEST_FIELDS_END;
    }
    struct slice line = until(*fields, '\n');
    ASSERT(line.size < fields->size); /* request_scan saw the line's CRLF. */
    *fields = skip(*fields, line.size + 1);
    line.size--;
    *name = until(line, ':');
    if (name->size == line.size || !request_is_token(*name)) {
        return REQUEST_FIELD_MALFORMED;
    }
    *value = trim(skip(line, name->size + 1));
    return is_all(*value, VALUE) ? REQUEST_FIELD : REQUEST_FIELD_MALFORMED;
}

bool request_next_element(struct slice *list, char separator, struct slice *element)
{
    while (list->size > 0) {
        struct slice raw = until(*list, (uint8_t)separator);
        *list = skip(*list, raw.size < list->size ? raw.size + 1 : raw.size);
        *element = trim(raw);
        if (element->size > 0) {
            return true;
        }
    }
    return false;
}
