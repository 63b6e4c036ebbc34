/*
 * api_request.h - what the HTTP API is asked: a JSON body becomes commands.
 *
 * The body is taken apart in place and lent to the commands: it has to stay until api_request_free.
 * A body that is no JSON, or whose known members have values of another kind, is malformed as a
 * whole; a command that cannot be done (no channel, broken base64, ...) has an error of its own.
 * Unknown members are ignored.
 */
#pragma once

#include "base/bytes.h"

#define API_COMMANDS_MAX     1000  /* of a batch */
#define API_CHANNELS_MAX     10000 /* of one request's broadcasts, together */
#define API_CHANNEL_SIZE_MAX 255
#define API_KEY_SIZE_MAX     255 /* of an idempotency key */

enum api_method {
    API_PUBLISH,
    API_BROADCAST,
    API_PRESENCE,
    API_PRESENCE_STATS,
    API_HISTORY,
    API_HISTORY_REMOVE,
    API_CHANNELS,
    API_INFO,
    API_BATCH,
    API_METHODS
};

MUST_CHECK const char *api_method_name(enum api_method method);

/* API_METHODS when there is none of that name. */
MUST_CHECK enum api_method api_method_find(struct slice name);

/* The API's own codes. */
enum api_code {
    API_DONE = 0,
    API_INTERNAL = 100,
    API_UNKNOWN_CHANNEL = 102,
    API_NOT_FOUND = 104,
    API_BAD_REQUEST = 107,
    API_NOT_AVAILABLE = 108,
    API_UNRECOVERABLE = 112,
};

struct api_error {
    enum api_code code;
    const char *message; /* a constant text */
};

struct api_command {
    enum api_method method;
    struct api_error error; /* API_DONE: it can be done; else its answer */
    struct slice channel;
    const struct slice *channels; /* of a broadcast; each is to be checked */
    uint32_t channel_count;
    struct slice data; /* compact JSON, or the bytes */
    bool is_binary;
    bool skip_history;
    struct slice idempotency_key; /* empty: none */
    int64_t limit;                /* of a history; below 0: all */
    bool is_reverse;
    bool has_since;
    uint64_t since_offset;
    struct slice since_epoch;
    struct slice pattern; /* of channels; empty: all */
};

struct api_request {
    enum api_method method;
    bool is_parallel;
    struct api_command *commands;
    uint32_t command_count; /* 1, unless it is a batch */
    struct slice *channels; /* all commands' */
    uint32_t channel_count;
};

enum api_request_outcome {
    API_REQUEST_READY,
    API_REQUEST_MALFORMED, /* with a message */
    API_REQUEST_NO_MEMORY,
};

/* An empty body stands for {} where no member is needed (info, channels). */
MUST_CHECK enum api_request_outcome api_request_read(struct api_request *request,
                                                     enum api_method method, uint8_t *body,
                                                     size_t body_size, char *message,
                                                     size_t message_size);
void api_request_free(struct api_request *request);

/* 1 to API_CHANNEL_SIZE_MAX bytes, none of them a control character. */
MUST_CHECK bool api_channel_is_good(struct slice channel);
