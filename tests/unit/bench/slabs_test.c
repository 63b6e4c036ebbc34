/*
 * Goal: slabinfo is read as the kernel writes it; growth is told per connection, without what
 * others do on the machine; and what closing the client's end gave back is the client's.
 */
#include "bench/reference.h"
#include "bench/slabs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#define HEAD                                                                                       \
    "slabinfo - version: 2.1\n"                                                                    \
    "# name            <active_objs> <num_objs> <objsize> <objperslab> <pagesperslab> : tunables " \
    "<limit> <batchcount> <sharedfactor> : slabdata <active_slabs> <num_slabs> <sharedavail>\n"
#define REST " : tunables    0    0    0 : slabdata     10     10      0\n"

static void test_lines_of_the_kernel(void **state)
{
    static struct slabs slabs;

    (void)state;
    slabs_parse(&slabs, HEAD "TCP                   26     39   2368   13    8" REST
                             "kmalloc-32          1234   1280     32  128    1" REST "nonsense\n"
                             "zero 1 1 1 0 1" REST);
    assert_int_equal(slabs.count, 2);
    assert_string_equal(slabs.items[0].name, "TCP");
    assert_int_equal(slabs.items[0].objects, 26);
    assert_true(slabs.items[0].object_bytes > 2520 && slabs.items[0].object_bytes < 2521);
    assert_int_equal(slabs.items[1].objects, 1234);
    assert_true(slabs.items[1].object_bytes == 32);
    slabs_parse(&slabs, "");
    assert_int_equal(slabs.count, 0);
}

/* A line of 100 connections' caches. */
static void make(struct slabs *slabs, unsigned tcp, unsigned inodes, unsigned dentries,
                 unsigned requests, unsigned files)
{
    char text[1024];

    (void)snprintf(text, sizeof(text),
                   HEAD "TCP %u 0 2048 2 1" REST "sock_inode_cache %u 0 1024 4 1" REST
                        "dentry %u 0 128 32 1" REST "io_kiocb %u 0 256 16 1" REST
                        "ext4_inode_cache %u 0 1024 4 1" REST,
                   tcp, inodes, dentries, requests, files);
    slabs_parse(slabs, text);
    assert_int_equal(slabs->count, 5);
}

static void test_growth_is_per_connection(void **state)
{
    static struct slabs before;
    static struct slabs after;
    struct slab_growths growths;

    (void)state;
    make(&before, 1000, 1000, 1000, 9, 0);
    make(&after, 1200, 1200, 1900, 18, 5000);
    slabs_compare(&growths, &before, &after, 100);
    assert_int_equal(growths.count, 3); /* 9 requests are too few, and files are others' */
    assert_string_equal(growths.items[0].name, "TCP");
    assert_true(growths.items[0].objects == 2);
    assert_true(growths.items[0].bytes == 4096);
    assert_string_equal(growths.items[1].name, "sock_inode_cache");
    assert_string_equal(growths.items[2].name, "dentry");
    assert_true(growths.items[2].objects == 2); /* one a socket, whatever else was opened */
    assert_true(growths.items[2].bytes == 256);
    assert_true(growths.bytes == 4096 + 2048 + 256);
    assert_true(growths.sockets == 2);
    assert_false(slabs_are_disturbed(&growths, 2));
}

static void test_sockets_of_others_are_noticed(void **state)
{
    static struct slabs before;
    static struct slabs after;
    struct slab_growths growths;

    (void)state;
    make(&before, 0, 1000, 0, 0, 0);
    make(&after, 200, 1203, 200, 0, 0);
    slabs_compare(&growths, &before, &after, 100);
    assert_false(slabs_are_disturbed(&growths, 2));
    make(&after, 200, 1205, 200, 0, 0);
    slabs_compare(&growths, &before, &after, 100);
    assert_true(slabs_are_disturbed(&growths, 2));
    make(&after, 200, 1195, 200, 0, 0);
    slabs_compare(&growths, &before, &after, 100);
    assert_true(slabs_are_disturbed(&growths, 2));
}

static void test_one_end_is_left(void **state)
{
    static struct slabs before;
    static struct slabs after;
    struct slab_growths growths;

    (void)state;
    make(&before, 0, 1000, 0, 0, 0);
    make(&after, 0, 1100, 0, 0, 0);
    slabs_compare(&growths, &before, &after, 100);
    assert_false(slabs_are_disturbed(&growths, 1));
    assert_true(slabs_are_disturbed(&growths, 2));
    make(&after, 0, 1000, 0, 0, 0); /* both ends went: someone else's did, too */
    slabs_compare(&growths, &before, &after, 100);
    assert_true(slabs_are_disturbed(&growths, 1));
}

static void test_what_was_given_back_is_the_clients(void **state)
{
    static struct slabs before;
    static struct slabs open;
    static struct slabs client_closed;
    struct reference_result result;

    (void)state;
    make(&before, 50, 50, 50, 0, 0);
    make(&open, 250, 250, 250, 100, 0);
    make(&client_closed, 150, 150, 150, 100, 0); /* the ring keeps its requests */
    reference_share(&result, &before, &open, &client_closed, 100);
    assert_int_equal(result.count, 100);
    assert_true(result.server_bytes == 2048 + 1024 + 128);
    assert_true(result.client_bytes == 2048 + 1024 + 128 + 256);
    /* A blurred count is the whole number next to it, a clear fraction stays. */
    make(&client_closed, 158, 170, 150, 100, 0);
    reference_share(&result, &before, &open, &client_closed, 100);
    assert_true(result.server_bytes > 2048 + 1228 + 128);
    assert_true(result.server_bytes < 2048 + 1230 + 128);
    /* More given back than came: not more than all of it. */
    make(&client_closed, 0, 150, 150, 100, 0);
    reference_share(&result, &before, &open, &client_closed, 100);
    assert_true(result.server_bytes == 1024 + 128);
    /* It grew meanwhile: not less than nothing. */
    make(&client_closed, 300, 150, 150, 100, 0);
    reference_share(&result, &before, &open, &client_closed, 100);
    assert_true(result.server_bytes == 4096 + 1024 + 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_of_the_kernel),
        cmocka_unit_test(test_growth_is_per_connection),
        cmocka_unit_test(test_sockets_of_others_are_noticed),
        cmocka_unit_test(test_one_end_is_left),
        cmocka_unit_test(test_what_was_given_back_is_the_clients),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
