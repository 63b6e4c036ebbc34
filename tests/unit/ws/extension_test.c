/*
 * Goal: an offer of permessage-deflate that we can keep is taken, the first of several; one with a
 * parameter that is unknown, repeated or has a wrong value is declined, whatever its spelling.
 */
#include "ws/extension.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The answer, or NULL: declined. */
static const char *answer_to(struct extension *extension, const char *line)
{
    char *copy = strdup(line);

    assert_non_null(copy);
    extension_read(extension, slice_from(copy, strlen(line)));
    free(copy);
    return extension->has_deflate ? extension_answer(extension) : NULL;
}

#define PMD "permessage-deflate"
static const char plain[] = PMD "; server_no_context_takeover; client_no_context_takeover";
static const char with_window[] =
    PMD "; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=12";

static const struct {
    const char *line;
    const char *answer;
} cases[] = {
    {PMD, plain},
    {" " PMD " ", plain},
    {PMD "; client_max_window_bits", plain}, /* browsers, node's ws */
    {PMD "; server_max_window_bits=12; client_max_window_bits=12", with_window}, /* Python's */
    {PMD ";server_no_context_takeover;client_no_context_takeover", plain},
    {PMD "; server_no_context_takeover; client_no_context_takeover; "
         "server_max_window_bits=15; client_max_window_bits=8",
     with_window},
    {PMD "; server_max_window_bits=\"13\"", with_window},
    {PMD "; server_max_window_bits = 12", with_window},
    {PMD "; client_max_window_bits=15", plain},
    {PMD "; client_max_window_bits=\"9\"", plain},
    /* Our window is 12. */
    {PMD "; server_max_window_bits=11", NULL},
    {PMD "; server_max_window_bits=8", NULL},
    {PMD "; server_max_window_bits=11, " PMD, plain}, /* as RFC 7692, section 7.1 has it */
    /* Values. */
    {PMD "; server_max_window_bits", NULL},
    {PMD "; server_max_window_bits=", NULL},
    {PMD "; server_max_window_bits=16", NULL},
    {PMD "; server_max_window_bits=7", NULL},
    {PMD "; server_max_window_bits=012", NULL},
    {PMD "; server_max_window_bits=+12", NULL},
    {PMD "; server_max_window_bits=12a", NULL},
    {PMD "; server_max_window_bits=1 2", NULL},
    {PMD "; server_max_window_bits=\"\"", NULL},
    {PMD "; server_max_window_bits=\"", NULL},
    {PMD "; server_max_window_bits=12=12", NULL},
    {PMD "; client_max_window_bits=", NULL},
    {PMD "; client_max_window_bits=7", NULL},
    {PMD "; client_max_window_bits=16", NULL},
    {PMD "; client_max_window_bits=08", NULL},
    {PMD "; client_max_window_bits=115", NULL},
    {PMD "; server_no_context_takeover=", NULL},
    {PMD "; server_no_context_takeover=true", NULL},
    {PMD "; client_no_context_takeover=1", NULL},
    /* Twice, unknown, empty. */
    {PMD "; client_max_window_bits; client_max_window_bits=10", NULL},
    {PMD "; server_max_window_bits=12; server_max_window_bits=12", NULL},
    {PMD "; server_no_context_takeover; server_no_context_takeover", NULL},
    {PMD "; client_no_context_takeover; client_no_context_takeover", NULL},
    {PMD "; level=9", NULL},
    {PMD "; Server_no_context_takeover", NULL},
    {PMD ";", NULL},
    {PMD "; ; client_max_window_bits", NULL},
    {PMD "=1", NULL},
    {PMD " client_max_window_bits", NULL},
    {"Permessage-Deflate", NULL},
    {"permessage-deflat", NULL},
    {PMD "e", NULL},
    {"x-webkit-deflate-frame", NULL},
    {"permessage-bzip2", NULL},
    {"", NULL},
    {",", NULL},
    /* Several: the first that can be kept. */
    {"x-webkit-deflate-frame, " PMD, plain},
    {"a; b=c; d, , " PMD "; server_max_window_bits=13, " PMD, with_window},
    {PMD "; level=9, " PMD "; x, " PMD "; client_max_window_bits", plain},
    {PMD ", " PMD "; server_max_window_bits=12", plain},
    {PMD "; level=9; server_max_window_bits=12, " PMD, plain}, /* nothing of a declined one */
    /* Inside quotes nothing is an offer. */
    {"a; b=\"x," PMD ",y\"", NULL},
    {"a; b=\"x, " PMD, NULL},
    {"a; b=\"x\", " PMD, plain},
};

static void offers(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct extension extension = {0};
        const char *answer = answer_to(&extension, cases[i].line);

        if ((answer == NULL) != (cases[i].answer == NULL) ||
            (answer && strcmp(answer, cases[i].answer) != 0)) {
            fail_msg("%s: %s", cases[i].line, answer ? answer : "declined");
        }
    }
}

static void several_lines_are_one_list(void **state)
{
    struct extension extension = {0};

    (void)state;
    assert_null(answer_to(&extension, PMD "; level=9"));
    assert_string_equal(answer_to(&extension, PMD), plain);
    /* What was agreed on stays. */
    assert_string_equal(answer_to(&extension, PMD "; server_max_window_bits=12"), plain);
    extension = (struct extension){0};
    assert_null(answer_to(&extension, "a=\"b"));
    assert_null(answer_to(&extension, PMD));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers),
        cmocka_unit_test(several_lines_are_one_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
