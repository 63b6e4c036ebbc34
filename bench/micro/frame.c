/*
 * What reading frames, checking UTF-8 and reading an upgrade request costs: nanoseconds each, as
 * minimum, median and maximum of ROUNDS rounds of about a millisecond.
 */
#include "ws/frame.h"
#include "ws/upgrade.h"
#include "ws/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS      101
#define ROUND_NS    1000000.0
#define BUFFER_SIZE ((size_t)64 * 1024)

/* One thing to measure: run does it count times and returns something that depends on the work. */
struct subject {
    const char *name;
    size_t size; /* bytes handled by one run, for the rate; 0: no rate */
    uint64_t (*run)(const struct subject *subject, size_t count);
    const char *text; /* what the payload repeats; NULL: binary */
};

static uint8_t buffer[BUFFER_SIZE];
static size_t buffer_size;

static double now_ns(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0) {
        abort();
    }
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static uint64_t read_frames(const struct subject *subject, size_t count)
{
    const struct ws_limits limits = {.role = WS_SERVER, .message_size_max = UINT32_MAX};
    struct ws_reader reader = {0};
    struct ws_piece piece;
    uint64_t sum = 0;

    (void)subject;
    for (size_t i = 0; i < count; i++) {
        if (ws_read(&reader, &limits, buffer, buffer_size, &piece) != WS_PIECE) {
            abort();
        }
        sum += piece.consumed;
    }
    return sum;
}

static uint64_t check_utf8(const struct subject *subject, size_t count)
{
    uint64_t sum = 0;

    (void)subject;
    for (size_t i = 0; i < count; i++) {
        sum += utf8_advance(UTF8_ACCEPT, slice_from(buffer, buffer_size));
    }
    return sum;
}

static uint64_t read_request(const struct subject *subject, size_t count)
{
    const struct upgrade_rules rules = {
        .request_size_max = BUFFER_SIZE, .token_places = 15, .cookie_name = "t", .query_name = "t"};
    struct upgrade upgrade;
    uint64_t sum = 0;

    (void)subject;
    for (size_t i = 0; i < count; i++) {
        sum += (uint64_t)upgrade_read(&rules, buffer, buffer_size, &upgrade) + upgrade.consumed;
    }
    return sum;
}

static void repeat(uint8_t *out, size_t size, const char *text)
{
    size_t text_size = strlen(text);

    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)text[i % text_size];
    }
}

/* The key keeps ASCII ASCII, so the frame can be read again and again; others get a zero key. */
static void fill_frame(enum ws_opcode opcode, const struct subject *subject)
{
    const char *text = subject->text != NULL ? subject->text : "a";
    bool is_ascii = (text[0] & 0x80) == 0;
    const uint8_t mask[4] = {0x12, 0x05, 0x07, 0x19};
    uint8_t header[WS_HEADER_SIZE_MAX];
    uint8_t *payload = buffer + WS_HEADER_SIZE_MAX;

    repeat(payload, subject->size, text);
    size_t header_size = ws_write_masked_header(opcode, payload, subject->size,
                                                is_ascii ? mask : (const uint8_t[4]){0}, header);
    memcpy(buffer, header, header_size);
    memmove(buffer + header_size, payload, subject->size);
    buffer_size = header_size + subject->size;
}

static void fill_request(const struct subject *subject)
{
    static const char request[] =
        "GET /chat HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\nPragma: no-cache\r\n"
        "Cache-Control: no-cache\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 "
        "(KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\nUpgrade: websocket\r\n"
        "Origin: https://example.org\r\nSec-WebSocket-Version: 13\r\n"
        "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: en-US,en;q=0.9\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
        "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl\r\n\r\n";
    static const char unfinished[] = "GET / HTTP/1.1\r\n";

    memcpy(buffer, request, sizeof(request) - 1);
    buffer_size = sizeof(request) - 1;
    if (subject->text != NULL) {
        repeat(buffer, subject->size, subject->text);
        memcpy(buffer, unfinished, sizeof(unfinished) - 1);
        buffer_size = subject->size;
    }
}

static void fill(const struct subject *subject)
{
    if (subject->run == check_utf8) {
        repeat(buffer, subject->size, subject->text);
        buffer_size = subject->size;
    } else if (subject->run == read_request) {
        fill_request(subject);
    } else if (subject->size == 0) {
        fill_frame(WS_PONG, subject);
    } else {
        fill_frame(subject->text != NULL ? WS_TEXT : WS_BINARY, subject);
    }
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

static volatile uint64_t sink;

static double time_round(const struct subject *subject, size_t count)
{
    double start = now_ns();

    sink = subject->run(subject, count);
    return now_ns() - start;
}

static void measure(const struct subject *subject)
{
    double rounds[ROUNDS];
    size_t count = 1;

    fill(subject);
    while (time_round(subject, count) < ROUND_NS) {
        count *= 2;
    }
    for (size_t i = 0; i < ROUNDS; i++) {
        rounds[i] = time_round(subject, count) / (double)count;
    }
    qsort(rounds, ROUNDS, sizeof(rounds[0]), compare);
    printf("%-34s %9.1f %9.1f %9.1f ns", subject->name, rounds[0], rounds[ROUNDS / 2],
           rounds[ROUNDS - 1]);
    if (subject->size > 0) {
        printf(" %8.0f MB/s", (double)subject->size * 1e3 / rounds[ROUNDS / 2]);
    }
    printf("\n");
}

int main(void)
{
    static const char cyrillic[] = "\xd0\xbf\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82";
    static const char han[] = "\xe4\xbd\xa0\xe5\xa5\xbd";
    static const char mixed[] = "{\"text\":\"\xe4\xbd\xa0\xe5\xa5\xbd\",\"from\":\"somebody\"}";
    static const struct subject subjects[] = {
        {"frame: pong, 6 bytes on the wire", 0, read_frames, NULL},
        {"frame: binary, 125 bytes", 125, read_frames, NULL},
        {"frame: text, 125 bytes", 125, read_frames, "hello "},
        {"frame: binary, 16,383 bytes", 16383, read_frames, NULL},
        {"frame: text, 16,383 bytes", 16383, read_frames, "hello "},
        {"frame: text, 16,383 bytes, Han", 16383, read_frames, han},
        {"utf8: ASCII, 16 KB", 16384, check_utf8, "hello "},
        {"utf8: Cyrillic, 16 KB", 16384, check_utf8, cyrillic},
        {"utf8: Han, 16 KB", 16383, check_utf8, han},
        {"utf8: JSON with some Han, 16 KB", 16384, check_utf8, mixed},
        {"upgrade: a browser's request", 0, read_request, NULL},
        {"upgrade: 16 KB, not whole, 1 line", 16384, read_request, "x"},
        {"upgrade: 16 KB, not whole, 99 lines", 16384, read_request,
         "x: 5678901234567890123456789012345678901234567890123456789012345678901234567890"
         "123456789012345678901234567890123456789012345678901234567890123456789012345678901234567"
         "\r\n"},
    };

    printf("%-34s %9s %9s %9s\n", "", "min", "median", "max");
    for (size_t i = 0; i < sizeof(subjects) / sizeof(subjects[0]); i++) {
        measure(&subjects[i]);
    }
    return 0;
}
