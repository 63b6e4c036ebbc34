#include "ws/upgrade.h"
#include "base/digest.h"
#include "ws/bearer.h"
#include "ws/request.h"

#define KEY_SIZE 16 /* bytes, decoded */

enum field {
    FIELD_AUTHORIZATION,
    FIELD_CONNECTION,
    FIELD_CONTENT_LENGTH,
    FIELD_COOKIE,
    FIELD_EXTENSIONS,
    FIELD_HOST,
    FIELD_KEY,
    FIELD_ORIGIN,
    FIELD_PROTOCOL,
    FIELD_TRANSFER_ENCODING,
    FIELD_UPGRADE,
    FIELD_USER_AGENT,
    FIELD_VERSION,
    FIELD_OTHER,
};

static const char *const field_names[FIELD_OTHER] = {
    [FIELD_AUTHORIZATION] = "Authorization",
    [FIELD_CONNECTION] = "Connection",
    [FIELD_CONTENT_LENGTH] = "Content-Length",
    [FIELD_COOKIE] = "Cookie",
    [FIELD_EXTENSIONS] = "Sec-WebSocket-Extensions",
    [FIELD_HOST] = "Host",
    [FIELD_KEY] = "Sec-WebSocket-Key",
    [FIELD_ORIGIN] = "Origin",
    [FIELD_PROTOCOL] = "Sec-WebSocket-Protocol",
    [FIELD_TRANSFER_ENCODING] = "Transfer-Encoding",
    [FIELD_UPGRADE] = "Upgrade",
    [FIELD_USER_AGENT] = "User-Agent",
    [FIELD_VERSION] = "Sec-WebSocket-Version",
};

/* A header that may stand there once: the first one's value. */
struct single {
    struct slice value;
    unsigned count;
};

/* What the headers say; judged when all are read, so that their order does not matter. */
struct findings {
    const struct upgrade_rules *rules;
    struct upgrade *upgrade;
    struct single host;
    struct single key;
    struct single origin;
    struct single version;
    bool asks_upgrade;   /* Connection: upgrade */
    bool asks_websocket; /* Upgrade: websocket */
    bool is_coded;       /* Transfer-Encoding */
    uint64_t body_size;  /* the largest Content-Length, saturated */
    struct bearer bearers[TOKEN_PLACES];
    struct slice bearer_name; /* the subprotocol "bearer" as the client spells it */
    bool token_follows;       /* it was the last subprotocol read */
};

static void keep_single(struct single *single, struct slice value)
{
    if (single->count++ == 0) {
        single->value = value;
    }
}

/* Place i of enum token_place, when the rules allow it. */
static struct bearer *bearer_of(struct findings *findings, enum token_place place)
{
    if ((findings->rules->token_places & (unsigned)place) == 0) {
        return NULL;
    }
    return &findings->bearers[__builtin_ctz((unsigned)place)];
}

static bool list_has(struct slice list, const char *token)
{
    struct slice element;

    while (request_next_element(&list, ',', &element)) {
        if (slice_equal_fold(element, slice_text(token))) {
            return true;
        }
    }
    return false;
}

/* Some senders join equal lengths to a list (RFC 9110, section 8.6). False: not a number. */
static bool read_content_length(struct findings *findings, struct slice value)
{
    const uint64_t saturated = UINT32_MAX;
    struct slice element;
    bool is_any = false;

    while (request_next_element(&value, ',', &element)) {
        uint64_t size = 0;
        for (size_t i = 0; i < element.size; i++) {
            if (element.data[i] < '0' || element.data[i] > '9') {
                return false;
            }
            size = size * 10 + (uint64_t)(element.data[i] - '0');
            size = size < saturated ? size : saturated;
        }
        findings->body_size = size > findings->body_size ? size : findings->body_size;
        is_any = true;
    }
    return is_any;
}

static bool is_ours(const struct upgrade_rules *rules, struct slice protocol)
{
    if (protocol.size > UPGRADE_PROTOCOL_SIZE_MAX) {
        return false;
    }
    for (size_t i = 0; i < rules->protocol_count; i++) {
        if (slice_equal(protocol, slice_text(rules->protocols[i]))) {
            return true;
        }
    }
    return false;
}

/* One line of the offered subprotocols; "bearer" and its token may stand on two lines. */
static bool read_protocols(struct findings *findings, struct slice value)
{
    struct bearer *bearer = bearer_of(findings, TOKEN_PROTOCOL);
    struct upgrade *upgrade = findings->upgrade;
    struct slice element;

    while (request_next_element(&value, ',', &element)) {
        if (!request_is_token(element)) {
            return false;
        }
        if (findings->token_follows) {
            bearer_add(bearer, element);
            findings->token_follows = false;
        } else if (bearer != NULL && slice_equal_fold(element, slice_text("bearer"))) {
            findings->bearer_name = element;
            findings->token_follows = true;
        } else if (upgrade->protocol.data == NULL && is_ours(findings->rules, element)) {
            upgrade->protocol = element;
        }
    }
    return true;
}

static void read_authorization(struct findings *findings, struct slice value)
{
    struct bearer *bearer = bearer_of(findings, TOKEN_AUTHORIZATION);

    if (bearer != NULL) {
        bearer_read_authorization(bearer, value);
    }
}

static void read_cookie(struct findings *findings, struct slice value)
{
    struct bearer *bearer = bearer_of(findings, TOKEN_COOKIE);

    if (bearer != NULL) {
        bearer_read_cookie(bearer, value, findings->rules->cookie_name);
    }
}

static enum field field_of(struct slice name)
{
    for (unsigned i = 0; i < FIELD_OTHER; i++) {
        if (slice_equal_fold(name, slice_text(field_names[i]))) {
            return (enum field)i;
        }
    }
    return FIELD_OTHER;
}

/* False: malformed. */
static bool read_field(struct findings *findings, enum field field, struct slice value)
{
    struct upgrade *upgrade = findings->upgrade;

    switch (field) {
    case FIELD_AUTHORIZATION:
        read_authorization(findings, value);
        return true;
    case FIELD_CONNECTION:
        findings->asks_upgrade = findings->asks_upgrade || list_has(value, "upgrade");
        return true;
    case FIELD_CONTENT_LENGTH:
        return read_content_length(findings, value);
    case FIELD_COOKIE:
        read_cookie(findings, value);
        return true;
    case FIELD_EXTENSIONS:
        if (findings->rules->deflate) {
            extension_read(&upgrade->extension, value);
        }
        return true;
    case FIELD_HOST:
        keep_single(&findings->host, value);
        return true;
    case FIELD_KEY:
        keep_single(&findings->key, value);
        return true;
    case FIELD_ORIGIN:
        keep_single(&findings->origin, value);
        return true;
    case FIELD_PROTOCOL:
        return read_protocols(findings, value);
    case FIELD_TRANSFER_ENCODING:
        findings->is_coded = true;
        return true;
    case FIELD_UPGRADE:
        findings->asks_websocket = findings->asks_websocket || list_has(value, "websocket");
        return true;
    case FIELD_USER_AGENT:
        upgrade->user_agent = upgrade->user_agent.data == NULL ? value : upgrade->user_agent;
        return true;
    case FIELD_VERSION:
        keep_single(&findings->version, value);
        return true;
    case FIELD_OTHER:
        return true;
    default:
        ASSERT(false);
        return false;
    }
}

static bool read_fields(struct findings *findings, struct slice fields)
{
    struct slice name;
    struct slice value;
    enum request_field_status status;

    while ((status = request_next_field(&fields, &name, &value)) == REQUEST_FIELD) {
        if (!read_field(findings, field_of(name), value)) {
            return false;
        }
    }
    return status == REQUEST_FIELDS_END;
}

static bool read_target(struct findings *findings, struct slice target)
{
    struct upgrade *upgrade = findings->upgrade;
    struct bearer *bearer = bearer_of(findings, TOKEN_QUERY);
    struct request_target parts;

    if (!request_split_target(target, &parts)) {
        return false;
    }
    upgrade->path = parts.path;
    upgrade->query = parts.query;
    upgrade->host = parts.authority;
    if (bearer != NULL) {
        bearer_read_query(bearer, parts.query, findings->rules->query_name);
    }
    return true;
}

static bool is_key(struct slice text)
{
    uint8_t key[UPGRADE_KEY_SIZE];

    return text.size == UPGRADE_KEY_SIZE && base64_decode(text, key) == KEY_SIZE;
}

/* Browsers write an origin in lower case, but people do not write their lists so. */
static bool origin_is_allowed(const struct upgrade_rules *rules, const struct single *origin)
{
    if (rules->origin_count == 0 || origin->count == 0) {
        return true;
    }
    for (size_t i = 0; i < rules->origin_count; i++) {
        if (slice_equal_fold(origin->value, slice_text(rules->origins[i]))) {
            return origin->count == 1;
        }
    }
    return false;
}

static enum upgrade_reason judge_token(struct findings *findings)
{
    struct upgrade *upgrade = findings->upgrade;

    for (unsigned i = 0; i < TOKEN_PLACES; i++) {
        const struct bearer *bearer = &findings->bearers[i];
        if (bearer->is_bad) {
            return UPGRADE_BAD_TOKEN_FORM;
        }
        if (bearer->is_there) {
            upgrade->token = bearer->token;
            upgrade->token_place = (enum token_place)(1u << i);
            return UPGRADE_OK;
        }
    }
    return findings->rules->token_places == 0 ? UPGRADE_OK : UPGRADE_NO_TOKEN;
}

/* What the fields that were read come to, in the order that upgrade.h promises. */
static enum upgrade_reason judge(struct findings *findings)
{
    const struct upgrade_rules *rules = findings->rules;
    struct upgrade *upgrade = findings->upgrade;

    if (findings->is_coded) {
        return UPGRADE_HAS_BODY;
    }
    if (findings->body_size > 0) {
        bool is_large = findings->body_size > rules->request_size_max;
        return is_large ? UPGRADE_BODY_TOO_LARGE : UPGRADE_HAS_BODY;
    }
    if (findings->host.count != 1 || !request_is_host(findings->host.value)) {
        return UPGRADE_NO_HOST;
    }
    if (rules->path != NULL && !slice_equal(upgrade->path, slice_text(rules->path))) {
        return UPGRADE_WRONG_PATH;
    }
    if (!findings->asks_upgrade || !findings->asks_websocket) {
        return UPGRADE_NOT_UPGRADE;
    }
    if (findings->version.count != 1 || !slice_equal(findings->version.value, slice_text("13"))) {
        return UPGRADE_WRONG_VERSION;
    }
    if (findings->key.count != 1 || !is_key(findings->key.value)) {
        return UPGRADE_BAD_KEY;
    }
    if (!origin_is_allowed(rules, &findings->origin)) {
        return UPGRADE_ORIGIN_REFUSED;
    }
    return judge_token(findings);
}

/* The head is whole: all of its lines. */
static enum upgrade_reason read_head(const struct upgrade_rules *rules,
                                     const struct request *request, struct upgrade *upgrade)
{
    struct findings findings = {.rules = rules, .upgrade = upgrade};

    if (!read_target(&findings, request->target) || !read_fields(&findings, request->fields)) {
        return UPGRADE_MALFORMED;
    }
    if (findings.token_follows) {
        bearer_add(bearer_of(&findings, TOKEN_PROTOCOL), slice_from(NULL, 0));
    }
    if (upgrade->protocol.data == NULL) {
        upgrade->protocol = findings.bearer_name;
    }
    if (upgrade->host.data == NULL) {
        upgrade->host = findings.host.value;
    }
    upgrade->origin = findings.origin.value;
    upgrade->key = findings.key.value;
    return judge(&findings);
}

void upgrade_decide(struct upgrade *upgrade, enum upgrade_reason reason)
{
    upgrade->reason = reason;
    upgrade->status = upgrade_reason_status(reason);
    upgrade->retry_after_s = upgrade->status == 503 ? UPGRADE_RETRY_AFTER_MIN_S : 0;
}

enum upgrade_status upgrade_read(const struct upgrade_rules *rules, const uint8_t *input,
                                 size_t size, struct upgrade *upgrade)
{
    struct request request;
    enum upgrade_reason reason = UPGRADE_OK;

    *upgrade = (struct upgrade){0};
    switch (request_scan(input, size, rules->request_size_max, &request)) {
    case REQUEST_WHOLE:
        reason = read_head(rules, &request, upgrade);
        break;
    case REQUEST_MORE:
        return UPGRADE_MORE;
    case REQUEST_MALFORMED:
        reason = UPGRADE_MALFORMED;
        break;
    case REQUEST_OTHER_METHOD:
        reason = UPGRADE_WRONG_METHOD;
        break;
    case REQUEST_OTHER_VERSION:
        reason = UPGRADE_NOT_UPGRADE;
        break;
    case REQUEST_TOO_LARGE:
        reason = UPGRADE_TOO_LARGE;
        break;
    default:
        ASSERT(false);
    }
    upgrade_decide(upgrade, reason);
    upgrade->consumed = reason == UPGRADE_OK ? request.size : 0;
    return reason == UPGRADE_OK ? UPGRADE_WHOLE : UPGRADE_REFUSED;
}
