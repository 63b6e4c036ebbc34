/*
 * Goal: a journal says after a round trip what it said before, whatever bytes are in it; one that
 * is cut anywhere, or has one bit changed, is refused; so is one that names files or keys that are
 * not ours to write.
 */
#include "base/bytes.h"
#include "tuning/drop_in.h"
#include "tuning/journal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define UNIT_LINE "file " DROP_IN_UNIT "\n"

static struct journal sample;

static char *encode(const struct journal *journal, size_t *size)
{
    char *text = NULL;
    FILE *out = open_memstream(&text, size);

    assert_non_null(out);
    journal_encode(journal, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* Seals a body as journal_encode does and reads it. */
static bool decodes(const char *body, char message[JOURNAL_LINE_SIZE])
{
    static struct journal journal;
    char text[2048];

    int size = snprintf(text, sizeof(text), "limpet-tune journal 1\n%s", body);
    size += snprintf(text + size, sizeof(text) - (size_t)size, "end %016llx\n",
                     (unsigned long long)journal_digest(slice_from(text, (size_t)size)));
    return journal_decode(&journal, text, (size_t)size, message);
}

static int set_up(void **state)
{
    (void)state;
    memset(&sample, 0, sizeof(sample));
    (void)strcpy(sample.time, "2026-01-31T12:00:00Z");
    (void)strcpy(sample.boot, "b-1");
    (void)strcpy(sample.kernel, "6.1.0");
    (void)strcpy(sample.inputs, "100,000 connections \xc3\xa9 \\ \x01");
    sample.made_store = true;
    sample.value_count = 2;
    (void)strcpy(sample.values[0].key, "net.ipv4.tcp_mem");
    (void)strcpy(sample.values[0].to, "1 2 3");
    (void)strcpy(sample.values[0].old[GOAL_BEFORE], "4\t5\t6\n");
    (void)strcpy(sample.values[0].old[GOAL_ORIGINAL], "7\t8\t9\n");
    (void)strcpy(sample.values[0].source, "/etc/sysctl.conf:3");
    (void)strcpy(sample.values[0].why, "because");
    (void)strcpy(sample.values[1].key, "LimitNOFILE");
    sample.values[1].kind = CHANGE_UNIT_LIMIT;
    sample.values[1].is_absent = true;
    sample.values[1].may_be_absent = true;
    sample.folder_count = 1;
    (void)strcpy(sample.folders[0].path, "/etc/systemd/system/limpet.service.d");
    sample.folders[0].is_earlier = true;
    sample.file_count = 2;
    (void)strcpy(sample.files[0].path, DROP_IN_SYSCTL);
    sample.files[0].old[GOAL_BEFORE] = KEPT_EARLIER;
    sample.files[0].old[GOAL_ORIGINAL] = KEPT_ORIGINAL;
    (void)strcpy(sample.files[0].text, "# a\n\nb = c\n");
    (void)strcpy(sample.files[1].path, DROP_IN_UNIT);
    sample.files[1].old[GOAL_BEFORE] = KEPT_SAME;
    return 0;
}

static void test_round_trip(void **state)
{
    static struct journal journal;
    char message[JOURNAL_LINE_SIZE];
    size_t size;
    char *text = encode(&sample, &size);

    (void)state;
    if (!journal_decode(&journal, text, size, message)) {
        fail_msg("%s", message);
    }
    assert_memory_equal(&journal, &sample, sizeof(sample));
    assert_ptr_equal(journal_find(&journal, "LimitNOFILE"), &journal.values[1]);
    assert_null(journal_find(&journal, "LimitCORE"));
    free(text);
}

static void test_cut_or_changed(void **state)
{
    static struct journal journal;
    char message[JOURNAL_LINE_SIZE];
    size_t size;
    char *text = encode(&sample, &size);
    char *copy = malloc(size + 1);

    (void)state;
    assert_non_null(copy);
    for (size_t cut = 0; cut < size; cut++) {
        memcpy(copy, text, size + 1);
        assert_false(journal_decode(&journal, copy, cut, message));
    }
    for (size_t at = 0; at < size; at++) {
        memcpy(copy, text, size + 1);
        copy[at] = (char)(copy[at] ^ 1);
        assert_false(journal_decode(&journal, copy, size, message));
    }
    free(copy);
    free(text);
}

static void test_refused(void **state)
{
    static const char *const bodies[] = {
        "file /etc/passwd\n",
        "file /etc/sysctl.d/../passwd\n",
        "folder /etc\n",
        "folder /etc/sysctl.d/90-limpet.conf\n",
        "folder /usr\n",
        "value ../../etc/passwd\n",
        "value net..core\n",
        "value .net\n",
        "value \n",
        "value net.core.somaxconn\nvalue net.core.somaxconn\n",
        "value a\nkind other\n",
        "value a\nabsent perhaps\n",
        "value a\nmade now\n",
        (UNIT_LINE "before something\n"),
        (UNIT_LINE "original earlier\n"),
        "store perhaps\n",
        "made now\n",
        "time\n",
        "unknown word\n",
        "time \\\n",
        "time \\x\n",
        "time \\x0g\n",
        "time \\x00\n",
        "time \x7f\n",
        "\n",
    };
    char message[JOURNAL_LINE_SIZE];
    char body[2048];

    (void)state;
    assert_true(decodes("", message));
    assert_true(decodes("time x\nvalue a.b\nto 1\n", message));
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        if (decodes(bodies[i], message)) {
            fail_msg("not refused: %s", bodies[i]);
        }
        assert_non_null(strstr(message, "line "));
    }
    /* One byte too long for its place. */
    (void)snprintf(body, sizeof(body), "time %0*d\n", JOURNAL_WORD_SIZE - 1, 0);
    assert_true(decodes(body, message));
    (void)snprintf(body, sizeof(body), "time %0*d\n", JOURNAL_WORD_SIZE, 0);
    assert_false(decodes(body, message));
}

static void test_counts(void **state)
{
    char message[JOURNAL_LINE_SIZE];
    char body[2048] = "";

    (void)state;
    for (int i = 0; i <= JOURNAL_VALUES_MAX; i++) {
        assert_true(decodes(body, message));
        const size_t used = strlen(body);
        (void)snprintf(body + used, sizeof(body) - used, "value v%d\n", i);
    }
    assert_false(decodes(body, message));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_round_trip, set_up),
        cmocka_unit_test_setup(test_cut_or_changed, set_up),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
