#include "base/text.h"

#include <inttypes.h>
#include <stdarg.h>

const char *text_count(uint64_t value, char out[TEXT_SIZE])
{
    char digits[24];
    int size = snprintf(digits, sizeof(digits), "%" PRIu64, value);
    char *at = out;

    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) {
            *at++ = ',';
        }
        *at++ = digits[i];
    }
    *at = '\0';
    return out;
}

/* Three significant digits, and the unit. */
static void write_scaled(double value, const char *unit, char out[TEXT_SIZE])
{
    double size = value < 0 ? -value : value;
    int decimals = size >= 99.95 || size == 0 ? 0 : size >= 9.995 ? 1 : 2;

    (void)snprintf(out, TEXT_SIZE, "%.*f %s", decimals, value, unit);
}

const char *text_bytes(double bytes, char out[TEXT_SIZE])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB"};
    double size = bytes < 0 ? -bytes : bytes;
    uint32_t unit = 0;

    while (size >= 1024 && unit < 4) {
        size /= 1024;
        bytes /= 1024;
        unit++;
    }
    if (unit == 0) {
        (void)snprintf(out, TEXT_SIZE, "%.0f B", bytes);
    } else {
        write_scaled(bytes, units[unit], out);
    }
    return out;
}

const char *text_time(double nanoseconds, char out[TEXT_SIZE])
{
    if (nanoseconds < 1e3) {
        (void)snprintf(out, TEXT_SIZE, "%.0f ns", nanoseconds);
    } else if (nanoseconds < 1e6) {
        write_scaled(nanoseconds / 1e3, "us", out);
    } else if (nanoseconds < 1e9) {
        write_scaled(nanoseconds / 1e6, "ms", out);
    } else {
        write_scaled(nanoseconds / 1e9, "s", out);
    }
    return out;
}

void text_print(FILE *out, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    (void)vfprintf(out, format, arguments);
    va_end(arguments);
}
