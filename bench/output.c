#include "bench/output.h"

#include "base/random.h"

#define FRAME_OVERHEAD                                                                             \
    (2 * TLS_OVERHEAD_MAX + 5 + WS_HEADER_SIZE_MAX) /* and a KeyUpdate before it */

static size_t headroom(const struct place *at)
{
    return place_is_plain(at) ? 0 : tls_headroom(at->state);
}

/* Seals size bytes that stand at the headroom behind the output's end. False: the keys are used up.
 */
static bool seal_output(const struct place *at, struct work *work, size_t size)
{
    size_t sealed =
        place_is_plain(at) ? size : tls_seal(at->state, work->output + work->output_size, size);

    work->output_size += (uint32_t)sealed;
    return sealed > 0;
}

bool output_has_room(const struct work *work, size_t payload_size)
{
    return sizeof(work->output) - work->output_size >= payload_size + FRAME_OVERHEAD;
}

bool output_frame(const struct place *at, enum ws_opcode opcode, struct slice payload)
{
    uint8_t header[WS_HEADER_SIZE_MAX];
    uint8_t mask[4];
    struct work *work = place_work_need(at);

    if (!work || !output_has_room(work, payload.size)) {
        return false;
    }
    if (!place_is_plain(at) &&
        tls_update_due(at->state)) { /* the server asked for it: it goes first */
        work->output_size += (uint32_t)tls_seal_update(at->state, work->output + work->output_size);
    }
    random_bytes(mask, sizeof(mask));
    /* Masked in place, where it is sealed: the header's size depends on the payload's alone. */
    uint8_t *out = work->output + work->output_size + headroom(at);
    size_t header_size = payload.size <= WS_CONTROL_SIZE_MAX ? 6 : 8;
    if (payload.size > 0) {
        memcpy(out + header_size, payload.data, payload.size);
    }
    size_t written = ws_write_masked_header(opcode, out + header_size, payload.size, mask, header);
    ASSERT(written == header_size);
    memcpy(out, header, header_size);
    return seal_output(at, work, header_size + payload.size);
}

void output_request(const struct place *at, struct work *work)
{
    const struct clients *all = at->all;
    const struct request request = {
        .target = all->target,
        .headers = all->headers,
        .header_count = all->header_count,
        .token = tokens_at(all->tokens, work->index),
    };
    size_t before = work->output_size + headroom(at);
    size_t room = sizeof(work->output) - before - TLS_OVERHEAD_MAX;
    size_t size = request_write(&request, work->key, work->output + before,
                                room < TLS_DATA_SIZE_MAX ? room : TLS_DATA_SIZE_MAX);

    if (size == 0 || !seal_output(at, work, size)) {
        place_end(at, OUTCOME_OWN_OTHER); /* a request that fits no record */
    }
}
