/* speech.c - what a client says and hears once it is open. */
#include "tests/sim/client.h"
#include "ws/deflate.h"

#define FIN 0x80

static void random_fill(uint8_t *out, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++) {
        out[i] = (uint8_t)ring_sim_random(256);
    }
}

/* --- says ---------------------------------------------------------------------------------------
 */

static void say(struct client *client, const uint8_t *bytes, uint32_t size)
{
    if (client->mute) {
        return;
    }
    ASSERT(size <= sizeof(client->speech) - client->speech_size);
    memcpy(client->speech + client->speech_size, bytes, size);
    client->speech_size += size;
}

void speech_frame(struct client *client, uint8_t first_byte, const uint8_t *payload, uint32_t size)
{
    static uint8_t masked[CLIENT_SPEECH_MAX];
    uint8_t header[WS_HEADER_SIZE_MAX];
    uint8_t mask[4];

    random_fill(mask, sizeof(mask));
    if (size > 0) {
        memcpy(masked, payload, size);
    }
    const size_t header_size = ws_write_masked_header(WS_BINARY, masked, size, mask, header);
    header[0] = first_byte; /* whatever it is: offenders come here too */
    say(client, header, (uint32_t)header_size);
    say(client, masked, size);
}

/* Payload: its number, then as many bytes as the number asks for. */
static uint32_t ping_payload(uint32_t number, uint8_t out[WS_CONTROL_SIZE_MAX])
{
    const uint32_t size = 4 + number * 37 % (WS_CONTROL_SIZE_MAX - 3);

    memset(out, (int)(number & 0x7f), size);
    store_be32(out, number);
    return size;
}

void speech_ping(struct client *client)
{
    uint8_t payload[WS_CONTROL_SIZE_MAX];
    const uint32_t size = ping_payload(client->pings_sent++, payload);

    speech_frame(client, FIN | WS_PING, payload, size);
}

/* One message, whole or in pieces, with pings between them. */
bool speech_message(struct client *client)
{
    static uint8_t message[CLIENT_SPEECH_MAX];
    const uint32_t span = client->message_size_max - LEDGER_SIZE_MIN;
    const uint32_t size = LEDGER_SIZE_MIN + (weather_chance(70) ? weather_between(0, span / 8)
                                                                : weather_between(0, span));
    uint8_t opcode = weather_chance(50) ? WS_TEXT : WS_BINARY;
    struct slice deflated;
    uint32_t wire_size = size;
    uint32_t at = 0;

    if (!ledger_may_send(client, size) ||
        size + 2048 > sizeof(client->speech) - client->speech_size) {
        return false;
    }
    ledger_write(message, client->number, client->sent, size);
    world_say(client->world, client, "sends message %u, %u bytes", client->sent, size);
    if (client->deflates && weather_chance(70) &&
        deflate_encode(client->world->deflater, slice_from(message, size), &deflated)) {
        wire_size = (uint32_t)deflated.size;
        memcpy(message, deflated.data, wire_size);
        opcode |= WS_COMPRESSED;
    }
    const bool whole = weather_chance(50);
    for (uint32_t pieces = 0; pieces < 6 && !whole && at < wire_size; pieces++) {
        const uint32_t part = weather_between(0, wire_size - at);
        speech_frame(client, opcode, message + at, part);
        opcode = WS_CONTINUATION;
        at += part;
        if (weather_chance(30)) {
            speech_ping(client);
        }
    }
    speech_frame(client, FIN | opcode, message + at, wire_size - at);
    client->sent++;
    client->bytes_away += size;
    return true;
}

void speech_close(struct client *client, uint16_t code)
{
    uint8_t payload[WS_CONTROL_SIZE_MAX];
    uint32_t size = 0;

    if (client->close_sent) {
        return;
    }
    if (code != WS_CLOSE_NO_STATUS) {
        store_be16(payload, code);
        size = 2 + weather_between(0, WS_CONTROL_SIZE_MAX - 2);
        memset(payload + 2, 'r', size - 2);
    }
    speech_frame(client, FIN | WS_CLOSE, payload, size);
    client->close_sent = true;
    client->close_sent_code = code;
    world_say(client->world, client, "sends close %u", code);
}

/* --- hears --------------------------------------------------------------------------------------
 */

static void hear_pong(struct client *client, struct slice payload)
{
    uint8_t expected[WS_CONTROL_SIZE_MAX];

    if (client->pongs >= client->pings_sent) {
        world_fail(client->world, client, "a pong without a ping");
    }
    if (!slice_equal(payload, slice_from(expected, ping_payload(client->pongs, expected)))) {
        world_fail(client->world, client, "pong %u is not what ping %u had", client->pongs,
                   client->pongs);
    }
    client->pongs++;
}

static void hear_close(struct client *client, struct slice payload)
{
    uint16_t code = 0;

    if (ws_read_close(payload, &code) == WS_ERROR) {
        world_fail(client->world, client, "a bad close frame");
    }
    client->close_received = true;
    client->close_received_code = code;
    client->close_received_ns = ring_sim_now_ns();
    world_say(client->world, client, "is closed with %u", code);
    if (client->role != ROLE_SILENT && !client->astray) {
        speech_close(client, code);
    }
}

static void hear_control(struct client *client, enum ws_opcode opcode)
{
    const struct slice payload = slice_from(client->control, client->control_size);

    if (opcode == WS_CLOSE) {
        hear_close(client, payload);
    } else if (opcode == WS_PONG) {
        hear_pong(client, payload);
    } else if (client->role != ROLE_SILENT && !client->astray && !client->close_sent) {
        world_say(client->world, client, "answers a ping");
        speech_frame(client, FIN | WS_PONG, payload.data, (uint32_t)payload.size);
    }
}

/* A whole data message, as it came. */
static void hear_message(struct client *client, bool is_compressed)
{
    struct slice message = slice_from(client->message, client->message_size);

    if (is_compressed &&
        deflate_decode(client->world->deflater, message, &message) != INFLATE_GOOD) {
        world_fail(client->world, client, "a message that cannot be inflated");
    }
    ledger_received(client, message.data, (uint32_t)message.size);
}

static void hear_piece(struct client *client, const struct ws_piece *piece)
{
    const bool is_data = piece->opcode == WS_TEXT || piece->opcode == WS_BINARY;
    uint8_t *to = is_data ? client->message : client->control;
    uint32_t *size = is_data ? &client->message_size : &client->control_size;

    if (client->close_received) {
        world_fail(client->world, client, "a frame (opcode %d) after the close frame",
                   (int)piece->opcode);
    }
    if (piece->is_first) {
        *size = 0;
    }
    ASSERT(*size + piece->payload.size <=
           (is_data ? sizeof(client->message) : sizeof(client->control)));
    if (piece->payload.size > 0) {
        memcpy(to + *size, piece->payload.data, piece->payload.size);
        *size += (uint32_t)piece->payload.size;
    }
    if (piece->is_last && is_data) {
        hear_message(client, piece->is_compressed);
    } else if (piece->is_last) {
        hear_control(client, piece->opcode);
    }
}

void speech_heard(struct client *client, uint8_t *bytes, size_t size)
{
    const struct ws_limits limits = {.role = WS_CLIENT,
                                     .message_size_max = CLIENT_SPEECH_MAX,
                                     .deflate = client->deflates,
                                     .deflated_size_max = CLIENT_SPEECH_MAX};
    struct ws_piece piece;

    for (;;) {
        const enum ws_status status = ws_read(&client->reader, &limits, bytes, size, &piece);
        if (status == WS_ERROR) {
            world_fail(client->world, client, "the server breaks the protocol (%u)",
                       piece.close_code);
        }
        if (status == WS_MORE) {
            return;
        }
        bytes += piece.consumed;
        size -= piece.consumed;
        hear_piece(client, &piece);
    }
}
