/*
 * Goal: tickets open under the keys that made them and under no other, in time; any damage is seen;
 * key files are read whole or not at all.
 */
#include "pki.h"
#include "tls/heap.h"
#include "tls/ticket.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define CONTENT_SIZE 100

static char message[512];

struct sealed {
    uint8_t name[TICKET_NAME_SIZE];
    uint8_t iv[TICKET_IV_SIZE];
    uint8_t tag[TICKET_TAG_SIZE];
    uint8_t content[CONTENT_SIZE];
};

static struct ticket view(struct sealed *sealed)
{
    return (struct ticket){.name = sealed->name,
                           .iv = sealed->iv,
                           .tag = sealed->tag,
                           .content = sealed->content,
                           .size = CONTENT_SIZE,
                           .server_name = slice_text("a.example")};
}

static struct sealed seal(struct ticket_keys *keys)
{
    struct sealed sealed;
    for (size_t i = 0; i < CONTENT_SIZE; i++) {
        sealed.content[i] = (uint8_t)i;
    }
    const struct ticket ticket = view(&sealed);
    assert_true(ticket_seal(keys, &ticket));
    return sealed;
}

static enum ticket_status open_copy(struct ticket_keys *keys, struct sealed sealed)
{
    const struct ticket ticket = view(&sealed);
    const enum ticket_status status = ticket_open(keys, &ticket);
    if (status != TICKET_REFUSED) {
        for (size_t i = 0; i < CONTENT_SIZE; i++) {
            assert_int_equal(sealed.content[i], i);
        }
    }
    return status;
}

static struct ticket_keys *random_keys(uint32_t rotate_s)
{
    struct ticket_keys *keys = ticket_keys_open(NULL, rotate_s, message, sizeof(message));
    assert_non_null(keys);
    return keys;
}

static enum ticket_status open_as(struct ticket_keys *keys, struct sealed sealed, const char *name)
{
    struct ticket ticket = view(&sealed);

    ticket.server_name = slice_text(name);
    return ticket_open(keys, &ticket);
}

static void a_ticket_is_bound_to_the_server_name(void **state)
{
    (void)state;
    char longest[TICKET_SERVER_NAME_MAX + 1] = {0};
    struct ticket_keys *keys = random_keys(60);
    const struct sealed sealed = seal(keys);
    memset(longest, 'a', TICKET_SERVER_NAME_MAX);
    assert_int_equal(open_as(keys, sealed, "a.example"), TICKET_OPENED);
    assert_int_equal(open_as(keys, sealed, "b.example"), TICKET_REFUSED);
    assert_int_equal(open_as(keys, sealed, ""), TICKET_REFUSED);
    assert_int_equal(open_as(keys, sealed, longest), TICKET_REFUSED);
    ticket_keys_close(keys);
}

static void a_ticket_opens_again(void **state)
{
    (void)state;
    struct ticket_keys *keys = random_keys(60);
    struct ticket_keys *others = random_keys(60);
    const struct sealed one = seal(keys);
    const struct sealed two = seal(keys);
    assert_int_equal(open_copy(keys, one), TICKET_OPENED);
    assert_int_equal(open_copy(keys, one), TICKET_OPENED);
    assert_int_equal(open_copy(others, one), TICKET_REFUSED);
    assert_memory_not_equal(one.iv, two.iv, TICKET_IV_SIZE);
    assert_memory_not_equal(one.content, two.content, CONTENT_SIZE);
    ticket_keys_close(keys);
    ticket_keys_close(others);
}

static void every_bit_counts(void **state)
{
    (void)state;
    struct ticket_keys *keys = random_keys(60);
    const struct sealed good = seal(keys);
    for (size_t bit = 0; bit < sizeof(good) * 8; bit++) {
        struct sealed bad = good;
        ((uint8_t *)&bad)[bit / 8] ^= (uint8_t)(1U << bit % 8);
        assert_int_equal(open_copy(keys, bad), TICKET_REFUSED);
    }
    ticket_keys_close(keys);
}

static void keys_rotate_in_time(void **state)
{
    (void)state;
    struct ticket_keys *keys = random_keys(10);
    const struct sealed first = seal(keys);
    ticket_keys_rotate(keys, 5000); /* starts the clock */
    ticket_keys_rotate(keys, 14999);
    assert_int_equal(open_copy(keys, first), TICKET_OPENED);
    ticket_keys_rotate(keys, 15000);
    assert_int_equal(open_copy(keys, first), TICKET_AGED);
    const struct sealed second = seal(keys);
    assert_int_equal(open_copy(keys, second), TICKET_OPENED);
    ticket_keys_rotate(keys, 25000);
    assert_int_equal(open_copy(keys, first), TICKET_AGED);
    assert_int_equal(open_copy(keys, second), TICKET_AGED);
    ticket_keys_rotate(keys, 35000);
    assert_int_equal(open_copy(keys, first), TICKET_REFUSED);
    assert_int_equal(open_copy(keys, second), TICKET_AGED);
    ticket_keys_close(keys);
}

static void tickets_live_as_long_as_their_key(void **state)
{
    (void)state;
    static const struct {
        uint32_t rotate_s;
        uint32_t life_s;
    } cases[] = {{1, 2}, {1799, 3598}, {1800, 3600}, {1801, 3600}, {86400, 3600}, {0, 3600}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ticket_keys *keys = random_keys(cases[i].rotate_s);
        assert_int_equal(ticket_life_s(keys), cases[i].life_s);
        ticket_keys_close(keys);
    }
    struct ticket_keys *never = random_keys(0);
    const struct sealed sealed = seal(never);
    ticket_keys_rotate(never, 1);
    ticket_keys_rotate(never, UINT64_MAX);
    assert_int_equal(open_copy(never, sealed), TICKET_OPENED);
    ticket_keys_close(never);
}

static void key_files_are_read_whole_or_not_at_all(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 47, 48, 49, 95, 96, 97, 143, 144, 145, 192, 480, 4096};
    uint8_t text[4096];
    struct pki pki = {.folder = ""};
    pki_open(&pki);
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (uint8_t)(i * 31 + i / 256);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const bool is_good = sizes[i] == 48 || sizes[i] == 96 || sizes[i] == 144;
        const char *path = pki_write_text(&pki, "keys", text, sizes[i]);
        struct ticket_keys *keys = ticket_keys_open(path, 60, message, sizeof(message));
        assert_int_equal(keys != NULL, is_good);
        if (!is_good) {
            assert_non_null(strstr(message, path));
        }
        ticket_keys_close(keys);
    }
    assert_null(ticket_keys_open(pki_path(&pki, "none"), 60, message, sizeof(message)));
    assert_non_null(strstr(message, "No such file"));
    assert_null(ticket_keys_open(pki.folder, 60, message, sizeof(message)));
    assert_non_null(strstr(message, "directory"));
    pki_close(&pki);
}

static bool reload(struct ticket_keys *keys, const char *path)
{
    struct ticket_keys *fresh = ticket_keys_open(path, 60, message, sizeof(message));

    if (fresh) {
        ticket_keys_replace(keys, fresh);
    }
    return fresh != NULL;
}

static void a_bad_reload_changes_nothing(void **state)
{
    (void)state;
    uint8_t text[3 * TICKET_KEY_FILE_ENTRY];
    struct pki pki = {.folder = ""};
    pki_open(&pki);
    memset(text, 1, TICKET_KEY_FILE_ENTRY);
    memset(text + TICKET_KEY_FILE_ENTRY, 2, TICKET_KEY_FILE_ENTRY);
    memset(text + (size_t)2 * TICKET_KEY_FILE_ENTRY, 3, TICKET_KEY_FILE_ENTRY);
    const char *path = pki_write_text(&pki, "keys", text, TICKET_KEY_FILE_ENTRY);
    struct ticket_keys *keys = ticket_keys_open(path, 60, message, sizeof(message));
    const struct sealed sealed = seal(keys);
    pki_write_text(&pki, "keys", text, 50);
    assert_false(reload(keys, path));
    assert_int_equal(open_copy(keys, sealed), TICKET_OPENED);
    /* Its own clock does not touch what the operator wrote. */
    ticket_keys_rotate(keys, 1);
    ticket_keys_rotate(keys, 1000000);
    assert_int_equal(open_copy(keys, sealed), TICKET_OPENED);
    /* Newest first; the old key is now the last one. */
    memset(text, 3, TICKET_KEY_FILE_ENTRY);
    memset(text + (size_t)2 * TICKET_KEY_FILE_ENTRY, 1, TICKET_KEY_FILE_ENTRY);
    pki_write_text(&pki, "keys", text, sizeof(text));
    assert_true(reload(keys, path));
    assert_int_equal(open_copy(keys, sealed), TICKET_AGED);
    ticket_keys_close(keys);
    pki_close(&pki);
}

static void *seal_and_open(void *context)
{
    struct ticket_keys *keys = context;
    for (int i = 0; i < 2000; i++) {
        const struct sealed sealed = seal(keys);
        assert_int_not_equal(open_copy(keys, sealed), TICKET_REFUSED);
    }
    return NULL;
}

static void shards_may_use_them_while_they_rotate(void **state)
{
    (void)state;
    struct ticket_keys *keys = random_keys(1);
    pthread_t shards[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&shards[i], NULL, seal_and_open, keys), 0);
    }
    for (uint64_t turn = 0; turn < 3; turn++) { /* the first starts the clock: two rotations */
        ticket_keys_rotate(keys, 1 + turn * 1000);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(shards[i], NULL), 0);
    }
    ticket_keys_close(keys);
}

static void names_are_known_as_long_as_their_keys(void **state)
{
    (void)state;
    struct ticket_keys *keys = random_keys(10);
    struct sealed sealed = seal(keys);

    assert_true(ticket_is_known(keys, sealed.name));
    ticket_keys_rotate(keys, 1);
    for (uint64_t rotation = 1; rotation <= 3; rotation++) {
        ticket_keys_rotate(keys, 1 + rotation * 10000);
        assert_int_equal(ticket_is_known(keys, sealed.name), rotation < 3);
    }
    sealed = seal(keys);
    sealed.name[TICKET_NAME_SIZE - 1] ^= 1;
    assert_false(ticket_is_known(keys, sealed.name));
    ticket_keys_close(keys);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_ticket_is_bound_to_the_server_name),
        cmocka_unit_test(a_ticket_opens_again),
        cmocka_unit_test(every_bit_counts),
        cmocka_unit_test(keys_rotate_in_time),
        cmocka_unit_test(tickets_live_as_long_as_their_key),
        cmocka_unit_test(key_files_are_read_whole_or_not_at_all),
        cmocka_unit_test(names_are_known_as_long_as_their_keys),
        cmocka_unit_test(a_bad_reload_changes_nothing),
        cmocka_unit_test(shards_may_use_them_while_they_rotate),
    };
    heap_install();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
