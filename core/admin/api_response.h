/*
 * api_response.h - what the HTTP API answers: results become JSON.
 *
 *   {"result":{...}}   {"error":{"code":107,"message":"bad request"}}   batch: {"replies":[...]}
 *
 * A command's result has one part, a broadcast's one for each channel.
 */
#pragma once

#include "admin/api_request.h"
#include "admin/json_out.h"

#define API_ANSWER_SIZE_MAX ((size_t)32 * 1024 * 1024)
#define API_EPOCH_SIZE_MAX  64
#define API_NAME_SIZE_MAX   255

struct api_publication {
    struct slice payload;
    bool is_binary;
    uint64_t offset;
    struct slice user; /* who sent it, when a client did */
    struct slice conn_id;
};

struct api_member {
    struct slice conn_id;
    struct slice user;
};

struct api_channel {
    struct slice name;
    uint32_t subscribers;
};

struct api_node {
    char id[33];
    char name[API_NAME_SIZE_MAX + 1];
    uint64_t clients;
    uint64_t users; /* 0 also where they are not counted */
    uint64_t channels;
    uint64_t subscriptions;
    uint64_t uptime_s;
};

struct api_part {
    struct api_error error; /* API_DONE: the rest holds */
    uint64_t offset;
    char epoch[API_EPOCH_SIZE_MAX + 1];
    union { /* count entries; which: the command's method */
        const struct api_publication *publications;
        const struct api_member *members;
        const struct api_channel *channels;
        const struct api_node *node;
    };
    uint32_t count;
};

/* A call's whole answer. parts: each command's, one after the other; a command that has an error
 * itself has none. is_bare: an error stands alone, without {"error":...} around it. */
void api_response_write(struct json_out *out, const struct api_request *request,
                        const struct api_part *parts, bool is_bare);

/* {"error":...}, or bare. */
void api_response_write_error(struct json_out *out, const struct api_error *error, bool is_bare);

/* Why there is no result at all; NULL when there is one, as a batch always has. */
MUST_CHECK const struct api_error *api_response_error(const struct api_request *request,
                                                      const struct api_part *parts);

/* How many parts the command has. */
MUST_CHECK uint32_t api_part_count(const struct api_command *command);

/* The status of an error in transport mode: the error is told by the status, too. */
MUST_CHECK unsigned api_error_status(enum api_code code);
