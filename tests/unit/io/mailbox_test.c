/*
 * Goal: parcels arrive whole, once and in each writer's order; a full mailbox refuses and changes
 * nothing; no wake-up is lost. The last two tests run with several threads, also under TSan.
 */
#include "io/mailbox.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SIZE       4096u
#define PARCEL_MAX (SIZE / 2 - 8)
#define WRITERS    4u
#define PARCELS    50000u

static const uint8_t pattern[SIZE] = {[0] = 1, [100] = 7, [2000] = 9};

static int open_mailbox(void **state)
{
    *state = mailbox_open(SIZE);
    return *state == NULL ? -1 : 0;
}

static int close_mailbox(void **state)
{
    mailbox_close(*state);
    return 0;
}

static bool post(struct mailbox *mailbox, size_t head_size, size_t body_size)
{
    bool wake = false;

    return mailbox_post(mailbox, slice_from(pattern, head_size), slice_from(pattern, body_size),
                        &wake);
}

static void take(struct mailbox *mailbox, size_t size)
{
    struct slice parcel = mailbox_next(mailbox);

    assert_non_null(parcel.data);
    assert_int_equal(parcel.size, size);
    mailbox_release(mailbox, parcel);
}

static void test_sizes_are_rounded_up(void **state)
{
    struct mailbox *mailbox = mailbox_open(SIZE + 1);

    (void)state;
    assert_non_null(mailbox);
    assert_int_equal(mailbox_parcel_max(mailbox), SIZE - 8);
    mailbox_close(mailbox);
    mailbox = mailbox_open(0);
    assert_non_null(mailbox);
    assert_int_equal(mailbox_parcel_max(mailbox), PARCEL_MAX);
    mailbox_close(mailbox);
    mailbox_close(NULL);
}

static void test_a_parcel_is_head_and_body_in_a_row(void **state)
{
    struct mailbox *mailbox = *state;
    bool wake = false;

    assert_true(mailbox_post(mailbox, slice_text("head "), slice_text("body"), &wake));
    assert_true(mailbox_post(mailbox, slice_text(""), slice_text("second"), &wake));
    struct slice parcel = mailbox_next(mailbox);
    assert_int_equal((uintptr_t)parcel.data % 8, 0);
    assert_true(slice_equal(parcel, slice_text("head body")));
    assert_ptr_equal(mailbox_next(mailbox).data, parcel.data); /* until it is released */
    mailbox_release(mailbox, parcel);
    parcel = mailbox_next(mailbox);
    assert_int_equal((uintptr_t)parcel.data % 8, 0);
    assert_true(slice_equal(parcel, slice_text("second")));
    mailbox_release(mailbox, parcel);
    assert_null(mailbox_next(mailbox).data);
}

static void test_an_empty_parcel_is_a_parcel(void **state)
{
    struct mailbox *mailbox = *state;
    bool wake = false;

    assert_true(mailbox_post(mailbox, slice_from(NULL, 0), slice_from(NULL, 0), &wake));
    take(mailbox, 0);
    assert_null(mailbox_next(mailbox).data);
}

static void test_the_largest_parcel_fits_wherever_the_tail_stands(void **state)
{
    struct mailbox *mailbox = *state;

    for (size_t step = 0; step < SIZE / 8; step++) {
        assert_true(post(mailbox, PARCEL_MAX, 0));
        take(mailbox, PARCEL_MAX);
        assert_true(post(mailbox, step % 32, 0)); /* moves the tail by different amounts */
        take(mailbox, step % 32);
    }
    assert_false(post(mailbox, PARCEL_MAX + 1, 0));
    assert_false(post(mailbox, 1, PARCEL_MAX));
    assert_false(post(mailbox, SIZE_MAX, SIZE_MAX));
    assert_true(post(mailbox, 1, PARCEL_MAX - 1));
    take(mailbox, PARCEL_MAX);
}

static void test_a_full_mailbox_refuses_and_changes_nothing(void **state)
{
    struct mailbox *mailbox = *state;
    bool wake = true;
    uint32_t count = 0;

    while (post(mailbox, 8, 0)) {
        count++;
    }
    assert_int_equal(count, SIZE / 16); /* to the last byte */
    assert_false(mailbox_post(mailbox, slice_text("x"), slice_text(""), &wake));
    assert_false(wake);
    take(mailbox, 8);
    assert_false(post(mailbox, 9, 0)); /* one byte too many for the place of one */
    assert_true(post(mailbox, 8, 0));
    for (uint32_t i = 0; i < count; i++) {
        take(mailbox, 8);
    }
    assert_null(mailbox_next(mailbox).data);
}

static void test_the_end_of_the_bytes_is_left_out_when_a_parcel_does_not_fit(void **state)
{
    struct mailbox *mailbox = *state;

    assert_true(post(mailbox, 1992, 0)); /* 2,000 bytes with its header */
    assert_true(post(mailbox, 1992, 0)); /* 96 bytes are left at the end */
    take(mailbox, 1992);
    assert_false(post(mailbox, 1997, 0)); /* 96 + 2,008 > the 2,096 that are free */
    assert_true(post(mailbox, 1992, 0));
    take(mailbox, 1992);
    struct slice parcel = mailbox_next(mailbox);
    assert_memory_equal(parcel.data, pattern, 1992);
    mailbox_release(mailbox, parcel);
    assert_null(mailbox_next(mailbox).data);
}

static void test_one_writer_is_told_to_wake_until_the_reader_looks(void **state)
{
    struct mailbox *mailbox = *state;
    bool wake = false;

    assert_true(mailbox_post(mailbox, slice_text("a"), slice_text(""), &wake));
    assert_true(wake);
    assert_true(mailbox_post(mailbox, slice_text("b"), slice_text(""), &wake));
    assert_false(wake);
    mailbox_attend(mailbox);
    take(mailbox, 1);
    assert_true(mailbox_post(mailbox, slice_text("c"), slice_text(""), &wake));
    assert_true(wake); /* the reader may have looked already: it must look again */
    take(mailbox, 1);
    take(mailbox, 1);
    assert_true(mailbox_post(mailbox, slice_text("d"), slice_text(""), &wake));
    assert_false(wake);
    mailbox_attend(mailbox);
    take(mailbox, 1);
}

/* --- threads ------------------------------------------------------------------------------------
 */

struct stress {
    struct mailbox *mailbox;
    sem_t sleeping; /* stands for the reader's ring: a wake lets it go on */
    pthread_barrier_t start;
    uint32_t pace; /* the writers stop now and then, so that the reader falls asleep */
};

struct writer {
    struct stress *stress;
    uint32_t number;
    uint32_t refused;
};

static size_t body_size(uint32_t writer, uint32_t sequence)
{
    return (sequence * 7 + writer * 131) % 300;
}

static void *write_parcels(void *argument)
{
    struct writer *writer = argument;
    struct stress *stress = writer->stress;
    uint8_t body[300];
    bool wake = false;

    (void)pthread_barrier_wait(&stress->start);
    for (uint32_t sequence = 0; sequence < PARCELS;) {
        const uint32_t head[2] = {writer->number, sequence};
        size_t size = body_size(writer->number, sequence);
        memset(body, (int)(sequence & 0xff), sizeof(body));
        if (mailbox_post(stress->mailbox, slice_from(head, sizeof(head)), slice_from(body, size),
                         &wake)) {
            sequence++;
        } else {
            writer->refused++;
            (void)sched_yield();
        }
        if (wake) {
            (void)sem_post(&stress->sleeping);
        }
        if (sequence % stress->pace == 0) {
            (void)sched_yield();
        }
    }
    return NULL;
}

static bool is_whole(struct slice parcel, size_t head_size, uint8_t byte)
{
    for (size_t i = head_size; i < parcel.size; i++) {
        if (parcel.data[i] != byte) {
            return false;
        }
    }
    return true;
}

/* Takes what is there; returns how many parcels. */
static uint32_t read_parcels(struct mailbox *mailbox, uint32_t next[WRITERS])
{
    uint32_t count = 0;

    for (struct slice parcel = mailbox_next(mailbox); parcel.data != NULL;
         parcel = mailbox_next(mailbox)) {
        uint32_t head[2];
        assert_true(parcel.size >= sizeof(head));
        memcpy(head, parcel.data, sizeof(head));
        assert_true(head[0] < WRITERS);
        assert_int_equal(head[1], next[head[0]]); /* none lost, none twice, in order */
        next[head[0]]++;
        assert_int_equal(parcel.size, sizeof(head) + body_size(head[0], head[1]));
        assert_true(is_whole(parcel, sizeof(head), (uint8_t)head[1]));
        mailbox_release(mailbox, parcel);
        count++;
    }
    return count;
}

/* The reader sleeps whenever its look found nothing: a lost wake-up would hang here. */
static void run_stress(struct mailbox *mailbox, uint32_t pace)
{
    struct stress stress = {.mailbox = mailbox, .pace = pace};
    struct writer writers[WRITERS] = {{0}};
    pthread_t threads[WRITERS];
    uint32_t next[WRITERS] = {0};
    uint32_t count = 0;

    assert_int_equal(sem_init(&stress.sleeping, 0, 0), 0);
    assert_int_equal(pthread_barrier_init(&stress.start, NULL, WRITERS), 0);
    for (uint32_t i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){.stress = &stress, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_parcels, &writers[i]), 0);
    }
    while (count < WRITERS * PARCELS) {
        while (sem_wait(&stress.sleeping) != 0) {
        }
        mailbox_attend(mailbox);
        count += read_parcels(mailbox, next);
    }
    for (uint32_t i = 0; i < WRITERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(next[i], PARCELS);
    }
    assert_null(mailbox_next(mailbox).data);
    assert_int_equal(pthread_barrier_destroy(&stress.start), 0);
    assert_int_equal(sem_destroy(&stress.sleeping), 0);
}

static void test_four_writers_at_full_speed(void **state)
{
    run_stress(*state, PARCELS);
}

static void test_four_writers_and_a_reader_that_sleeps_often(void **state)
{
    run_stress(*state, 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_mailbox, close_mailbox)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_are_rounded_up),
        TEST(test_a_parcel_is_head_and_body_in_a_row),
        TEST(test_an_empty_parcel_is_a_parcel),
        TEST(test_the_largest_parcel_fits_wherever_the_tail_stands),
        TEST(test_a_full_mailbox_refuses_and_changes_nothing),
        TEST(test_the_end_of_the_bytes_is_left_out_when_a_parcel_does_not_fit),
        TEST(test_one_writer_is_told_to_wake_until_the_reader_looks),
        TEST(test_four_writers_at_full_speed),
        TEST(test_four_writers_and_a_reader_that_sleeps_often),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
