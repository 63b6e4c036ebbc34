#include "tls/sieve.h"

#include "tls/alert.h"
#include "tls/early.h"
#include "tls/heap.h"

#define MESSAGE_HEADER_SIZE    4
#define HANDSHAKE_CLIENT_HELLO 1

static enum sieve_verdict refuse(uint8_t *alert, uint8_t description)
{
    *alert = description;
    return SIEVE_REFUSE;
}

/* Only between our first answer and the client's Finished, and only in 1.3 (RFC 8446, section 5).
 */
static enum sieve_verdict change_cipher(struct sieve *sieve, struct slice body, uint8_t *alert)
{
    if (body.size != 1 || body.data[0] != 1 || sieve->change_count == CHANGE_CIPHER_MAX) {
        return refuse(alert, ALERT_UNEXPECTED_MESSAGE);
    }
    sieve->change_count++;
    return SIEVE_DROP;
}

/* Bytes of the whole second hello, its record's header included; 0 while the length is not known.
 */
static size_t second_size_whole(const struct sieve *sieve)
{
    if (sieve->second_size < RECORD_HEADER_SIZE + MESSAGE_HEADER_SIZE) {
        return 0;
    }
    return RECORD_HEADER_SIZE + MESSAGE_HEADER_SIZE +
           (size_t)load_be24(sieve->second + RECORD_HEADER_SIZE + 1);
}

/* Nearly always the first record tells the size, and is all of it. */
static bool second_begin(struct sieve *sieve, struct slice body)
{
    size_t room = HELLO_SIZE_MAX;
    if (body.size >= MESSAGE_HEADER_SIZE &&
        MESSAGE_HEADER_SIZE + (size_t)load_be24(body.data + 1) < room) {
        room = MESSAGE_HEADER_SIZE + (size_t)load_be24(body.data + 1);
    }
    sieve->second = heap_take(RECORD_HEADER_SIZE + room);
    sieve->second_room = (uint32_t)(RECORD_HEADER_SIZE + room);
    sieve->second_size = RECORD_HEADER_SIZE;
    return sieve->second != NULL;
}

/* Joins the second hello: the library wants its message header in one record, and that record to
 * have the final version number. */
static enum sieve_verdict second_hello(struct sieve *sieve, const struct wire *wire,
                                       struct slice *record, uint8_t *alert)
{
    const struct slice body =
        slice_from(record->data + RECORD_HEADER_SIZE, record->size - RECORD_HEADER_SIZE);
    if (!sieve->second && !second_begin(sieve, body)) {
        return refuse(alert, ALERT_INTERNAL_ERROR);
    }
    if (body.size > sieve->second_room - sieve->second_size) {
        /* Too large; or it says how large it is, and its record holds more. */
        return refuse(alert, sieve->second_room == RECORD_HEADER_SIZE + HELLO_SIZE_MAX
                                 ? ALERT_DECODE_ERROR
                                 : ALERT_UNEXPECTED_MESSAGE);
    }
    memcpy(sieve->second + sieve->second_size, body.data, body.size);
    sieve->second_size += (uint32_t)body.size;
    if (sieve->second[RECORD_HEADER_SIZE] != HANDSHAKE_CLIENT_HELLO) {
        return refuse(alert, ALERT_UNEXPECTED_MESSAGE);
    }
    const size_t whole = second_size_whole(sieve);
    if (whole > RECORD_HEADER_SIZE + HELLO_SIZE_MAX) {
        return refuse(alert, ALERT_DECODE_ERROR);
    }
    if (whole == 0 || sieve->second_size < whole) {
        return SIEVE_DROP;
    }
    if (sieve->second_size > whole) {
        return refuse(alert, ALERT_UNEXPECTED_MESSAGE);
    }
    const size_t message_size = whole - RECORD_HEADER_SIZE;
    *alert = wire_second_hello(wire, slice_from(sieve->second + RECORD_HEADER_SIZE, message_size));
    if (*alert) {
        return SIEVE_REFUSE;
    }
    sieve->second[0] = RECORD_HANDSHAKE;
    sieve->second[1] = 3;
    sieve->second[2] = 3;
    store_be16(sieve->second + 3, (uint16_t)message_size);
    sieve->second_passed = true;
    *record = slice_from(sieve->second, whole);
    return SIEVE_PASS;
}

/* True: the record is early data that was not taken, and is to be forgotten (RFC 8446, 4.2.10). */
static bool is_refused_early_data(struct sieve *sieve, const struct wire *wire,
                                  const struct capture *capture, struct slice record,
                                  uint8_t *scratch)
{
    if (!sieve->early_expected || record.data[0] != RECORD_DATA ||
        record.size > EARLY_DATA_SIZE_MAX - sieve->early_size) {
        return false;
    }
    if (wire->hello_sent) {
        /* Under the handshake key it is the client's second flight, and no early data follows. */
        const struct slice secret = slice_from(capture->client_handshake, capture->secret_size);
        if (early_is_handshake(secret, wire->suite, record, scratch)) {
            sieve->early_expected = false;
            return false;
        }
    }
    sieve->early_size += (uint32_t)record.size;
    return true;
}

void sieve_init(struct sieve *sieve, const struct hello *hello)
{
    *sieve = (struct sieve){.early_expected = hello->offers_early_data};
}

void sieve_clear(struct sieve *sieve)
{
    heap_give(sieve->second);
    sieve->second = NULL;
}

enum sieve_verdict sieve_record(struct sieve *sieve, const struct wire *wire,
                                const struct capture *capture, struct slice *record,
                                uint8_t *scratch, uint8_t *alert)
{
    const uint8_t type = record->data[0];
    const bool awaits_second = wire->retry_sent && !sieve->second_passed;
    if (!wire->is_tls_1_3) {
        return SIEVE_PASS;
    }
    if (awaits_second && sieve->second && type != RECORD_HANDSHAKE) {
        return refuse(alert, ALERT_UNEXPECTED_MESSAGE); /* in the middle of the second hello */
    }
    if (type == RECORD_CHANGE_CIPHER) {
        return change_cipher(
            sieve, slice_from(record->data + RECORD_HEADER_SIZE, record->size - RECORD_HEADER_SIZE),
            alert);
    }
    if (is_refused_early_data(sieve, wire, capture, *record, scratch)) {
        return SIEVE_DROP;
    }
    if (awaits_second && type == RECORD_HANDSHAKE) {
        return second_hello(sieve, wire, record, alert);
    }
    return SIEVE_PASS;
}
