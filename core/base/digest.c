#include "base/digest.h"

#define SHA1_BLOCK_SIZE 64
#define SHA1_ROUNDS     80

static uint32_t rotate32(uint32_t value, unsigned bits)
{
    return value << bits | value >> (32 - bits);
}

static uint64_t rotate64(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

/* FIPS 180-4, section 6.1.2. */
static void sha1_block(uint32_t state[5], const uint8_t *block)
{
    static const uint32_t constants[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
    uint32_t schedule[SHA1_ROUNDS];
    uint32_t a = state[0];
    uint32_t b = state[1];
    uint32_t c = state[2];
    uint32_t d = state[3];
    uint32_t e = state[4];

    for (size_t i = 0; i < 16; i++) {
        schedule[i] = load_be32(block + i * 4);
    }
    for (size_t i = 16; i < SHA1_ROUNDS; i++) {
        schedule[i] =
            rotate32(schedule[i - 3] ^ schedule[i - 8] ^ schedule[i - 14] ^ schedule[i - 16], 1);
    }
    for (size_t i = 0; i < SHA1_ROUNDS; i++) {
        uint32_t mixed = b ^ c ^ d; /* rounds 20 to 39 and 60 to 79 */
        if (i < 20) {
            mixed = (b & c) | (~b & d);
        } else if (i >= 40 && i < 60) {
            mixed = (b & c) | (b & d) | (c & d);
        }
        uint32_t next = rotate32(a, 5) + mixed + e + constants[i / 20] + schedule[i];
        e = d;
        d = c;
        c = rotate32(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void sha1(struct slice input, uint8_t out[SHA1_SIZE])
{
    uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t whole = input.size / SHA1_BLOCK_SIZE * SHA1_BLOCK_SIZE;
    size_t rest = input.size - whole;
    uint8_t tail[2 * SHA1_BLOCK_SIZE] = {0};
    size_t tail_size = rest + 1 + 8 <= SHA1_BLOCK_SIZE ? SHA1_BLOCK_SIZE : sizeof(tail);

    for (size_t at = 0; at < whole; at += SHA1_BLOCK_SIZE) {
        sha1_block(state, input.data + at);
    }
    if (rest > 0) {
        memcpy(tail, input.data + whole, rest);
    }
    tail[rest] = 0x80;
    store_be64(tail + tail_size - 8, (uint64_t)input.size * 8);
    for (size_t at = 0; at < tail_size; at += SHA1_BLOCK_SIZE) {
        sha1_block(state, tail + at);
    }
    for (size_t i = 0; i < 5; i++) {
        store_be32(out + i * 4, state[i]);
    }
}

size_t base64_encode(struct slice input, char *out)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    char *to = out;

    for (size_t at = 0; at < input.size; at += 3) {
        size_t count = input.size - at < 3 ? input.size - at : 3;
        uint8_t group[3] = {0};
        memcpy(group, input.data + at, count);
        uint32_t bits = load_be24(group);
        for (size_t i = 0; i < 4; i++) {
            to[i] = '=';
            if (i <= count) {
                to[i] = alphabet[bits >> (18 - 6 * i) & 63];
            }
        }
        to += 4;
    }
    return (size_t)(to - out);
}

/* The value of a character of the alphabet, or -1. */
static int base64_value(uint8_t character)
{
    if (character >= 'A' && character <= 'Z') {
        return character - 'A';
    }
    if (character >= 'a' && character <= 'z') {
        return character - 'a' + 26;
    }
    if (character >= '0' && character <= '9') {
        return character - '0' + 52;
    }
    if (character == '+') {
        return 62;
    }
    return character == '/' ? 63 : -1;
}

/* One group of four characters, the last `padding` of which are not read. -1 when it is no base64.
 */
static int64_t base64_group(const uint8_t *group, size_t padding)
{
    int64_t bits = 0;

    for (size_t i = 0; i < 4; i++) {
        int value = i < 4 - padding ? base64_value(group[i]) : 0;
        if (value < 0) {
            return -1;
        }
        bits = bits << 6 | value;
    }
    /* Bits behind the last byte must be zero, so that bytes have one spelling only. */
    return (bits & ((1 << 8 * padding) - 1)) != 0 ? -1 : bits;
}

int64_t base64_decode(struct slice input, uint8_t *out)
{
    size_t padding = 0;
    uint8_t *to = out;

    if (input.size % 4 != 0) {
        return -1;
    }
    while (padding < 2 && padding < input.size && input.data[input.size - 1 - padding] == '=') {
        padding++;
    }
    for (size_t at = 0; at < input.size; at += 4) {
        size_t unused = at + 4 == input.size ? padding : 0;
        int64_t bits = base64_group(input.data + at, unused);
        if (bits < 0) {
            return -1;
        }
        uint8_t bytes[3];
        store_be24(bytes, (uint32_t)bits);
        memcpy(to, bytes, 3 - unused);
        to += 3 - unused;
    }
    return to - out;
}

static uint64_t load_le64(const uint8_t *p)
{
    uint64_t value = 0;

    for (size_t i = 8; i-- > 0;) {
        value = value << 8 | p[i];
    }
    return value;
}

static void sip_rounds(uint64_t v[4], unsigned count)
{
    while (count-- > 0) {
        v[0] += v[1];
        v[1] = rotate64(v[1], 13) ^ v[0];
        v[0] = rotate64(v[0], 32);
        v[2] += v[3];
        v[3] = rotate64(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate64(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate64(v[1], 17) ^ v[2];
        v[2] = rotate64(v[2], 32);
    }
}

static void sip_absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    sip_rounds(v, 2);
    v[0] ^= word;
}

uint64_t siphash(const uint64_t key[2], struct slice input)
{
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575, key[1] ^ 0x646f72616e646f6d,
                     key[0] ^ 0x6c7967656e657261, key[1] ^ 0x7465646279746573};
    size_t whole = input.size / 8 * 8;
    uint8_t last[8] = {0};

    for (size_t at = 0; at < whole; at += 8) {
        sip_absorb(v, load_le64(input.data + at));
    }
    if (input.size > whole) {
        memcpy(last, input.data + whole, input.size - whole);
    }
    last[7] = (uint8_t)input.size;
    sip_absorb(v, load_le64(last));
    v[2] ^= 0xff;
    sip_rounds(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
