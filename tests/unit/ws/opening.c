#include "opening.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

static char input[80000];

/* Reads the first size bytes of input, from a block of their own. Slices are moved back to input.
 */
static enum upgrade_status read_prefix(const struct upgrade_rules *rules, size_t size,
                                       struct upgrade *upgrade)
{
    uint8_t *block = size > 0 ? malloc(size) : NULL;

    if (size > 0) {
        assert_non_null(block);
        memcpy(block, input, size);
    }
    enum upgrade_status status = upgrade_read(rules, block, size, upgrade);
    struct slice *const slices[] = {&upgrade->path,   &upgrade->query,     &upgrade->host,
                                    &upgrade->origin, &upgrade->key,       &upgrade->protocol,
                                    &upgrade->token,  &upgrade->user_agent};
    for (size_t i = 0; i < sizeof(slices) / sizeof(slices[0]); i++) {
        const uint8_t *data = slices[i]->data;
        if (data != NULL && data >= block && data <= block + size) {
            slices[i]->data = (const uint8_t *)input + (data - block);
        }
    }
    free(block);
    return status;
}

enum upgrade_reason opening_read(const struct upgrade_rules *rules, const char *text,
                                 struct upgrade *upgrade)
{
    struct upgrade first = {0};
    bool is_decided = false;
    /* Every prefix of a short text, some of a long one. */
    size_t step = strlen(text) < 4096 ? 1 : 61;

    assert_true((size_t)snprintf(input, sizeof(input), "%s\x81\r\n\r\nGET /", text) <
                sizeof(input));
    for (size_t size = 0; size <= strlen(input); size += size + step > strlen(text) ? 1 : step) {
        enum upgrade_status status = read_prefix(rules, size, upgrade);
        if (status == UPGRADE_MORE) {
            assert_false(is_decided);
            assert_true(size < strlen(text));
            continue;
        }
        assert_int_equal(status == UPGRADE_WHOLE, upgrade->reason == UPGRADE_OK);
        assert_int_equal(upgrade->status, upgrade_reason_status(upgrade->reason));
        assert_int_equal(upgrade->consumed, status == UPGRADE_WHOLE ? strlen(text) : 0);
        if (is_decided) {
            assert_memory_equal(upgrade, &first, sizeof(first));
        }
        first = *upgrade;
        is_decided = true;
    }
    assert_true(is_decided);
    return upgrade->reason;
}

void opening_check(const struct upgrade_rules *rules, const struct opening_case *cases,
                   size_t count)
{
    struct upgrade upgrade;

    for (size_t i = 0; i < count; i++) {
        enum upgrade_reason reason = opening_read(rules, cases[i].text, &upgrade);
        if (reason != cases[i].reason) {
            fail_msg("%s: %s", cases[i].text, upgrade_reason_name(reason));
        }
    }
}

void opening_slice(struct slice slice, const char *text)
{
    if (text == NULL) {
        assert_null(slice.data);
    } else if (!slice_equal(slice, slice_text(text))) {
        fail_msg("%.*s instead of %s", (int)slice.size, (const char *)slice.data, text);
    }
}
