#include "broker/redis_bytes.h"

#include <stdio.h>
#include <stdlib.h>

#define CAPACITY_MIN 256u

void redis_bytes_free(struct redis_bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct redis_bytes){0};
}

static bool reserve(struct redis_bytes *bytes, size_t size)
{
    size_t capacity = bytes->capacity > 0 ? bytes->capacity : CAPACITY_MIN;

    while (capacity - bytes->size < size) {
        capacity *= 2;
    }
    if (capacity > bytes->capacity) {
        uint8_t *data = realloc(bytes->data, capacity);
        if (!data) {
            bytes->failed = true;
            return false;
        }
        bytes->data = data;
        bytes->capacity = capacity;
    }
    return true;
}

void redis_bytes_add(struct redis_bytes *bytes, struct slice slice)
{
    if (slice.size > 0 && reserve(bytes, slice.size)) {
        memcpy(bytes->data + bytes->size, slice.data, slice.size);
        bytes->size += slice.size;
    }
}

static void add_count(struct redis_bytes *bytes, char kind, size_t count)
{
    char text[32];
    const int size = snprintf(text, sizeof(text), "%c%zu\r\n", kind, count);

    redis_bytes_add(bytes, slice_from(text, (size_t)size));
}

void redis_bytes_command(struct redis_bytes *bytes, uint32_t argument_count)
{
    add_count(bytes, '*', argument_count);
}

void redis_bytes_begin(struct redis_bytes *bytes, size_t size)
{
    add_count(bytes, '$', size);
}

void redis_bytes_end(struct redis_bytes *bytes)
{
    redis_bytes_add(bytes, slice_from("\r\n", 2));
}

void redis_bytes_argument(struct redis_bytes *bytes, struct slice argument)
{
    redis_bytes_begin(bytes, argument.size);
    redis_bytes_add(bytes, argument);
    redis_bytes_end(bytes);
}

void redis_bytes_text(struct redis_bytes *bytes, const char *argument)
{
    redis_bytes_argument(bytes, slice_text(argument));
}

void redis_bytes_number(struct redis_bytes *bytes, uint64_t argument)
{
    char text[24];
    const int size = snprintf(text, sizeof(text), "%llu", (unsigned long long)argument);

    redis_bytes_argument(bytes, slice_from(text, (size_t)size));
}
