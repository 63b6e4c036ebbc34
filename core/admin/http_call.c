#include "admin/http_state.h"

#include <stdlib.h>
#include <strings.h>

#define KEPT_MAX         128 /* kept alive for the API; the others serve one request */
#define KEPT_IDLE_S_MAX  60
#define BODY_MS_MAX      10000
#define ANSWER_MS_MAX    30000 /* for the client to read it */
#define TEXT_SIZE_MAX    1024
#define DISCARD_SIZE_MAX 65536 /* of a refused body, so that the answer can be read */

/* --- answers ---------------------------------------------------------------------------------- */

static void set_text(struct call *call, unsigned status, const char *text)
{
    call->status = status;
    call->type = "text/plain; charset=utf-8";
    json_out_text(&call->out, text);
    json_out_text(&call->out, text[0] != '\0' ? "\n" : "");
}

/* Sets what a refused call is answered with. */
static void set_refusal(struct call *call)
{
    switch (call->refusal) {
    case API_REFUSED_KEY:
        set_text(call, MHD_HTTP_UNAUTHORIZED, "");
        return;
    case API_REFUSED_METHOD:
        call->status = MHD_HTTP_NOT_FOUND;
        call->type = "application/json";
        json_out_text(&call->out,
                      call->lent.is_bare
                          ? "{\"code\":104,\"message\":\"method not found\"}"
                          : "{\"error\":{\"code\":104,\"message\":\"method not found\"}}");
        return;
    case API_REFUSED_VERB:
        set_text(call, MHD_HTTP_METHOD_NOT_ALLOWED, "use POST");
        return;
    case API_REFUSED_SIZE:
        set_text(call, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than admin.body_size_max");
        return;
    case API_REFUSED_STOPPING:
        set_text(call, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is stopping");
        return;
    case API_REFUSED_MEMORY:
        set_text(call, MHD_HTTP_SERVICE_UNAVAILABLE, "out of memory");
        return;
    case API_REFUSED_MALFORMED: /* has its own text */
    case API_REFUSED_NONE:
    case API_REFUSALS:
        break;
    }
    ASSERT(!"nothing was refused");
}

/* A place among those that stay open for their next request, while there is one. */
static bool keep(struct admin *admin, struct call *call)
{
    struct admin_connection *entry = call->entry;

    if (!entry->is_kept && admin->kept_count < KEPT_MAX &&
        MHD_set_connection_option(call->connection, MHD_CONNECTION_OPTION_TIMEOUT,
                                  (unsigned)KEPT_IDLE_S_MAX) == MHD_YES) {
        entry->is_kept = true;
        admin->kept_count++;
    }
    return entry->is_kept;
}

/* Queues the answer that is set. Only whoever has a key keeps the connection. */
static enum MHD_Result send_answer(struct admin *admin, struct call *call)
{
    enum MHD_Result result = MHD_NO;
    bool is_trusted = call->refusal != API_REFUSED_KEY && call->refusal != API_REFUSED_VERB &&
                      !admin->is_stopping;

    if (call->out.failed) {
        return MHD_NO; /* not even the text of an error */
    }
    struct MHD_Response *response =
        MHD_create_response_from_buffer(call->out.size, call->out.data, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        return MHD_NO;
    }
    call->out.data = NULL;
    call->entry->deadline_ms = clock_now_ms() + ANSWER_MS_MAX;
    bool is_kept = is_trusted && keep(admin, call);
    if (MHD_add_response_header(response, "Content-Type", call->type) == MHD_YES &&
        (is_kept || MHD_add_response_header(response, "Connection", "close") == MHD_YES) &&
        (call->refusal != API_REFUSED_VERB ||
         MHD_add_response_header(response, "Allow", "POST") == MHD_YES)) {
        result = MHD_queue_response(call->connection, call->status, response);
    }
    MHD_destroy_response(response);
    return result;
}

static enum MHD_Result send_refusal(struct admin *admin, struct call *call)
{
    counter_add(&admin->options.counts->refused[call->refusal], 1);
    free(call->out.data);
    call->out = (struct json_out){.size_max = TEXT_SIZE_MAX};
    set_refusal(call);
    return send_answer(admin, call);
}

/* The library goes on with its connection, and asks for the answer. */
static void resume(struct admin *admin, struct call *call)
{
    ASSERT(call->entry->waiting == call);
    call->entry->waiting = NULL;
    call->is_answered = true;
    MHD_resume_connection(call->connection);
    admin->has_resumed = true;
}

void admin_answer(struct admin *admin, struct admin_call *lent, unsigned status,
                  struct json_out *out)
{
    struct call *call = (struct call *)lent;

    if (out->failed) {
        free(out->data);
        call->refusal = API_REFUSED_MEMORY;
    } else {
        call->status = status;
        call->type = "application/json";
        call->out = *out;
    }
    *out = (struct json_out){0};
    resume(admin, call);
}

void admin_refuse(struct admin *admin, struct admin_call *lent, const char *reason)
{
    struct call *call = (struct call *)lent;

    counter_add(&admin->options.counts->refused[API_REFUSED_MALFORMED], 1);
    set_text(call, MHD_HTTP_BAD_REQUEST, reason);
    resume(admin, call);
}

/* --- requests --------------------------------------------------------------------------------- */

static const char *header_of(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static bool has_key(const struct admin *admin, struct MHD_Connection *connection)
{
    static const char scheme[] = "apikey ";
    const char *key = header_of(connection, "X-API-Key");
    const char *authorization = header_of(connection, "Authorization");

    if (!key && authorization && strncasecmp(authorization, scheme, strlen(scheme)) == 0) {
        key = authorization + strlen(scheme);
    }
    if (!key && admin->options.key_in_query) {
        key = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "api_key");
    }
    return key && api_keys_match(admin->options.keys, slice_text(key));
}

/* 0 when it is not said. */
static uint64_t announced_size(struct MHD_Connection *connection)
{
    const char *text = header_of(connection, "Content-Length");

    return text ? strtoull(text, NULL, 10) : 0; /* the library has checked it */
}

static enum api_refusal first_refusal(const struct admin *admin, const struct call *call,
                                      const char *verb)
{
    if (strcmp(verb, MHD_HTTP_METHOD_POST) != 0) {
        return API_REFUSED_VERB;
    }
    if (!has_key(admin, call->connection)) {
        return API_REFUSED_KEY;
    }
    if (call->lent.method == API_METHODS) {
        return API_REFUSED_METHOD;
    }
    return announced_size(call->connection) > admin->options.body_size_max ? API_REFUSED_SIZE
                                                                           : API_REFUSED_NONE;
}

/*
 * After the headers. Whoever is refused is answered after the body, which is thrown away: with
 * bytes unread the kernel would reset the connection, and the answer might be lost. Not when the
 * client asked first (Expect), or has more to send than is bearable.
 */
enum MHD_Result call_begin(struct admin *admin, struct MHD_Connection *connection,
                           const char *method, const char *verb, void **request)
{
    const char *mode = header_of(connection, "X-Centrifugo-Error-Mode");
    struct call *call = calloc(1, sizeof(*call));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    if (!call) {
        return MHD_NO;
    }
    *request = call;
    call->lent.method = api_method_find(slice_text(method));
    call->lent.is_bare = mode && strcmp(mode, "transport") == 0;
    call->out.size_max = TEXT_SIZE_MAX;
    call->connection = connection;
    call->entry = info->socket_context;
    call->entry->deadline_ms = clock_now_ms() + BODY_MS_MAX;
    call->refusal = first_refusal(admin, call, verb);
    call->discard_max = call->refusal == API_REFUSED_KEY || call->refusal == API_REFUSED_VERB
                            ? DISCARD_SIZE_MAX
                            : 4 * (uint64_t)admin->options.body_size_max;
    if (call->refusal != API_REFUSED_NONE &&
        (header_of(connection, "Expect") || announced_size(connection) > call->discard_max)) {
        return send_refusal(admin, call);
    }
    return MHD_YES;
}

static void forget_body(struct call *call)
{
    free(call->lent.body);
    call->lent.body = NULL;
    call->lent.body_size = 0;
    call->body_room = 0;
}

/* Room for size more bytes: grows as they come, not as they are announced. */
static bool extend_body(struct call *call, size_t size)
{
    size_t needed = call->lent.body_size + size;
    size_t room = call->body_room > 0 ? call->body_room : CONNECTION_MEMORY_SIZE;

    while (room < needed) {
        room *= 2;
    }
    if (room > call->body_room) {
        uint8_t *body = realloc(call->lent.body, room);
        if (!body) {
            return false;
        }
        call->lent.body = body;
        call->body_room = room;
    }
    return true;
}

static enum MHD_Result take_body(const struct admin *admin, struct call *call, const char *bytes,
                                 size_t size)
{
    if (call->refusal == API_REFUSED_NONE) {
        if (size > admin->options.body_size_max - call->lent.body_size) {
            call->refusal = API_REFUSED_SIZE;
        } else if (!extend_body(call, size)) {
            call->refusal = API_REFUSED_MEMORY;
        }
    }
    if (call->refusal != API_REFUSED_NONE) {
        forget_body(call);
        call->discarded += size;
        return call->discarded > call->discard_max ? MHD_NO : MHD_YES;
    }
    memcpy(call->lent.body + call->lent.body_size, bytes, size);
    call->lent.body_size += size;
    return MHD_YES;
}

/* It is whole: the connection waits, and no thread with it. */
static void queue_call(struct admin *admin, struct call *call)
{
    MHD_suspend_connection(call->connection);
    call->entry->deadline_ms = UINT64_MAX;
    call->entry->waiting = call;
    if (admin->last) {
        admin->last->next = call;
    } else {
        admin->first = call;
    }
    admin->last = call;
}

struct admin_call *admin_next(struct admin *admin)
{
    struct call *call = admin->first;

    if (!call) {
        return NULL;
    }
    admin->first = call->next;
    if (!admin->first) {
        admin->last = NULL;
    }
    return &call->lent;
}

enum MHD_Result call_go_on(struct admin *admin, struct call *call, const char *body,
                           size_t *body_size)
{
    if (*body_size > 0) {
        size_t size = *body_size;
        *body_size = 0;
        return take_body(admin, call, body, size);
    }
    if (admin->is_stopping && !call->is_answered && call->refusal == API_REFUSED_NONE) {
        call->refusal = API_REFUSED_STOPPING;
    }
    if (call->refusal != API_REFUSED_NONE) {
        return send_refusal(admin, call);
    }
    if (call->is_answered) {
        return send_answer(admin, call);
    }
    queue_call(admin, call);
    return MHD_YES;
}

void call_end(struct call *call)
{
    if (call->entry->is_kept) {
        call->entry->deadline_ms = clock_now_ms() + (uint64_t)KEPT_IDLE_S_MAX * 1000;
    }
    forget_body(call);
    free(call->out.data);
    free(call);
}

void call_refuse_waiting(struct admin *admin)
{
    admin->is_stopping = true;
    for (uint32_t i = 0; i < CONNECTIONS_MAX; i++) {
        struct call *call = admin->connections[i].waiting;
        if (call) {
            call->refusal = API_REFUSED_STOPPING;
            resume(admin, call);
        }
    }
}
