/* What is said to a request: the second half of upgrade.h. */
#include "base/digest.h"
#include "ws/upgrade.h"

static const struct {
    int status;
    const char *name;
    const char *text;
} reasons[UPGRADE_REASONS] = {
    [UPGRADE_OK] = {101, "ok", ""},
    [UPGRADE_MALFORMED] = {400, "malformed", "This is not a well-formed HTTP/1.1 request."},
    [UPGRADE_NO_HOST] = {400, "no_host", "The request needs exactly one valid Host header."},
    [UPGRADE_BAD_KEY] =
        {400, "bad_key",
         "The request needs exactly one Sec-WebSocket-Key header, which is 16 bytes "
         "in base64 (24 characters, of which the last two are '=')."},
    [UPGRADE_HAS_BODY] = {400, "has_body",
                          "A WebSocket upgrade has no body: leave out Content-Length and "
                          "Transfer-Encoding."},
    [UPGRADE_BAD_TOKEN_FORM] = {401, "bad_token_form",
                                "Send exactly one token, as in: Authorization: Bearer TOKEN"},
    [UPGRADE_NO_TOKEN] = {401, "no_token", "A token is needed, as in: Authorization: Bearer TOKEN"},
    [UPGRADE_TOKEN_REFUSED] = {401, "token_refused", "The token was not accepted."},
    [UPGRADE_ORIGIN_REFUSED] = {403, "origin_refused", "Pages of this origin may not connect."},
    [UPGRADE_BAD_CHANNELS] = {400, "bad_channels",
                              "The channels of the query are too many, or not names of the "
                              "allowed size in percent-encoded UTF-8."},
    [UPGRADE_CHANNEL_REFUSED] = {403, "channel_refused",
                                 "The token does not allow one of the channels of the query."},
    [UPGRADE_WRONG_PATH] = {404, "wrong_path", "There is no WebSocket at this path."},
    [UPGRADE_WRONG_METHOD] = {405, "wrong_method", "A WebSocket upgrade is a GET request."},
    [UPGRADE_BODY_TOO_LARGE] = {413, "body_too_large",
                                "A WebSocket upgrade has no body, least of all one this large."},
    [UPGRADE_NOT_UPGRADE] = {426, "not_upgrade",
                             "This is a WebSocket server: connect with a WebSocket client over "
                             "HTTP/1.1 (Connection: Upgrade, Upgrade: websocket)."},
    [UPGRADE_WRONG_VERSION] = {426, "wrong_version", "Sec-WebSocket-Version must be 13."},
    [UPGRADE_TOO_LARGE] =
        {431, "too_large",
         "The request line and headers are too large, or there are too many: send "
         "a smaller token or fewer cookies."},
    [UPGRADE_FULL] = {503, "full", "The server is full: try again later."},
    [UPGRADE_NO_KEYS] = {503, "no_keys",
                         "No key to check tokens with is here yet: try again later."},
    [UPGRADE_STOPPING] = {503, "stopping", "The server is stopping: connect again."},
    [UPGRADE_PLAIN_HTTP] = {400, "plain_http", "This port speaks TLS: use wss:// or https://."},
};

int upgrade_reason_status(enum upgrade_reason reason)
{
    ASSERT(reason < UPGRADE_REASONS);
    return reasons[reason].status;
}

const char *upgrade_reason_name(enum upgrade_reason reason)
{
    ASSERT(reason < UPGRADE_REASONS);
    return reasons[reason].name;
}

void upgrade_accept_key(struct slice key, char out[28])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[UPGRADE_KEY_SIZE + sizeof(guid) - 1];
    uint8_t digest[SHA1_SIZE];

    static_assert(BASE64_SIZE(SHA1_SIZE) == 28, "the size of out");
    ASSERT(key.size == UPGRADE_KEY_SIZE);
    memcpy(text, key.data, UPGRADE_KEY_SIZE);
    memcpy(text + UPGRADE_KEY_SIZE, guid, sizeof(guid) - 1);
    sha1(slice_from(text, sizeof(text)), digest);
    (void)base64_encode(slice_from(digest, sizeof(digest)), out);
}

/* An answer as it grows. */
struct answer {
    uint8_t *out;
    size_t size;
};

static void put(struct answer *answer, struct slice text)
{
    ASSERT(text.size <= UPGRADE_ANSWER_MAX - answer->size);
    if (text.size > 0) {
        memcpy(answer->out + answer->size, text.data, text.size);
    }
    answer->size += text.size;
}

static void put_text(struct answer *answer, const char *text)
{
    put(answer, slice_text(text));
}

static void put_number(struct answer *answer, size_t number)
{
    uint8_t digits[20];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    put(answer, slice_from(digits + at, sizeof(digits) - at));
}

/* The status line, and the headers that a status asks for. */
static const char *status_lines(int status)
{
    static const struct {
        int status;
        const char *lines;
    } table[] = {
        {400, "400 Bad Request\r\nConnection: close\r\n"},
        {401, "401 Unauthorized\r\nConnection: close\r\nWWW-Authenticate: Bearer\r\n"},
        {403, "403 Forbidden\r\nConnection: close\r\n"},
        {404, "404 Not Found\r\nConnection: close\r\n"},
        {405, "405 Method Not Allowed\r\nConnection: close\r\nAllow: GET\r\n"},
        {413, "413 Content Too Large\r\nConnection: close\r\n"},
        /* Upgrade must be named in Connection (RFC 9110, section 7.8). */
        {426, "426 Upgrade Required\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
              "Sec-WebSocket-Version: 13\r\n"},
        {431, "431 Request Header Fields Too Large\r\nConnection: close\r\n"},
        {503, "503 Service Unavailable\r\nConnection: close\r\n"},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (table[i].status == status) {
            return table[i].lines;
        }
    }
    ASSERT(false);
    return NULL;
}

static void put_acceptance(struct answer *answer, const struct upgrade *upgrade)
{
    char accept[BASE64_SIZE(SHA1_SIZE)];

    upgrade_accept_key(upgrade->key, accept);
    put_text(answer, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                     "Connection: Upgrade\r\nSec-WebSocket-Accept: ");
    put(answer, slice_from(accept, sizeof(accept)));
    put_text(answer, "\r\n");
    if (upgrade->protocol.data != NULL) {
        put_text(answer, "Sec-WebSocket-Protocol: ");
        put(answer, upgrade->protocol);
        put_text(answer, "\r\n");
    }
    if (upgrade->extension.has_deflate) {
        put_text(answer, "Sec-WebSocket-Extensions: ");
        put_text(answer, extension_answer(&upgrade->extension));
        put_text(answer, "\r\n");
    }
    put_text(answer, "\r\n");
}

size_t upgrade_answer(const struct upgrade *upgrade, uint8_t *out)
{
    struct answer answer = {0};

    ASSERT(upgrade->status == upgrade_reason_status(upgrade->reason));
    answer.out = out;
    if (upgrade->reason == UPGRADE_OK) {
        put_acceptance(&answer, upgrade);
        return answer.size;
    }
    const char *text = reasons[upgrade->reason].text;
    put_text(&answer, "HTTP/1.1 ");
    put_text(&answer, status_lines(upgrade->status));
    if (upgrade->status == 503) {
        put_text(&answer, "Retry-After: ");
        put_number(&answer, upgrade->retry_after_s);
        put_text(&answer, "\r\n");
    }
    /* A 404 or 405 may be cached without this. There is no Date: a spoke has no clock. */
    put_text(&answer, "Cache-Control: no-store\r\nContent-Type: text/plain\r\nContent-Length: ");
    put_number(&answer, strlen(text) + 1);
    put_text(&answer, "\r\n\r\n");
    put_text(&answer, text);
    put_text(&answer, "\n");
    return answer.size;
}
