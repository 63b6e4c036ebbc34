/*
 * Goal: a token is found in each place in every spelling that clients use, and whatever is
 * ambiguous or half there is bad, never passed over.
 */
#include "ws/bearer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

/* What a place holds after some values. */
static const char *const nothing = "nothing";
static const char *const bad = "bad";

struct bearer_case {
    const char *values[3];
    const char *token; /* or nothing, or bad */
};

typedef void bearer_reader(struct bearer *bearer, struct slice value);

static void check(const struct bearer_case *item, const char *token, bearer_reader *read)
{
    struct bearer bearer = {0};

    for (size_t i = 0; i < 3 && item->values[i] != NULL; i++) {
        read(&bearer, slice_text(item->values[i]));
    }
    if (token == nothing ? bearer.is_there || bearer.is_bad
                         : !bearer.is_there || bearer.is_bad != (token == bad)) {
        fail_msg("%s: there %d, bad %d", item->values[0], bearer.is_there, bearer.is_bad);
    }
    if (token != nothing && token != bad) {
        assert_true(slice_equal(bearer.token, slice_text(token)));
    }
}

static void test_authorization(void **state)
{
    const struct bearer_case cases[] = {
        {{"Bearer x"}, "x"},
        {{"bearer a.b-c_d~e+f/g=="}, "a.b-c_d~e+f/g=="},
        {{"BEARER  x"}, "x"},
        {{"bEaReR     x"}, "x"},
        {{""}, nothing},
        {{"Token x"}, nothing},
        {{"Basic dTpw"}, nothing},
        {{"Bearers x"}, nothing},
        {{"Bearerx"}, nothing},
        {{"Bear x"}, nothing},
        {{"Digest Bearer x"}, nothing},
        {{"Bearer"}, bad},
        {{"Bearer\tx"}, bad},
        {{"Bearer \tx"}, bad},
        {{"Bearer x y"}, bad},
        {{"Bearer x, Bearer y"}, bad},
        {{"Bearer x,y"}, bad},
        {{"Bearer \"x\""}, bad},
        {{"Bearer token=\"x\""}, bad},
        {{"Bearer \xc3\xa9"}, bad},
        {{"Bearer x", "Bearer x"}, bad},
        {{"Bearer x", "Basic y"}, "x"},
        {{"Basic y", "Bearer x"}, "x"},
        {{"Bearer", "Bearer x"}, bad},
        {{"Bearer x", "Bearer"}, bad},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i], cases[i].token, bearer_read_authorization);
    }
}

static void read_cookie(struct bearer *bearer, struct slice value)
{
    bearer_read_cookie(bearer, value, "sid");
}

static void test_cookie(void **state)
{
    const struct bearer_case cases[] = {
        {{"sid=x"}, "x"},          {{"a=1; sid=x; b=2"}, "x"}, {{"a=1;sid=x"}, "x"},
        {{"a=1 ;  sid=x ;"}, "x"}, {{"a=1", "sid=x"}, "x"},    {{"a=1", "b=2; c", "sid=x"}, "x"},
        {{"sid=\"x\""}, "x"},      {{"sid=x=="}, "x=="},       {{"a=\"b, sid=y\"; sid=x"}, "x"},
        {{""}, nothing},           {{"a=1"}, nothing},         {{"xsid=y"}, nothing},
        {{"sidx=y"}, nothing},     {{"Sid=y"}, nothing},       {{"a=sid=y"}, nothing},
        {{"sid"}, nothing},        {{"sid =y"}, nothing},      {{"__Host-sid=y; a=sid"}, nothing},
        {{"sid="}, bad},           {{"sid=\"\""}, bad},        {{"sid=\""}, bad},
        {{"sid=\"x"}, bad},        {{"sid=x y"}, bad},         {{"sid=%41"}, bad},
        {{"sid=old; sid=x"}, bad}, {{"sid=x; sid=x"}, bad},    {{"sid=old", "sid=x"}, bad},
        {{"sid=; sid=x"}, bad},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i], cases[i].token, read_cookie);
    }
}

static void read_query(struct bearer *bearer, struct slice value)
{
    bearer_read_query(bearer, value, "token");
}

static void test_query(void **state)
{
    const struct bearer_case cases[] = {
        {{"token=x"}, "x"},
        {{"a=1&token=a.b_c-d&b"}, "a.b_c-d"},
        {{""}, nothing},
        {{"Token=x"}, nothing},
        {{"xtoken=x&tokenx=y"}, nothing},
        {{"a=token=x"}, nothing},
        {{"tok%65n=x"}, nothing},
        {{"token"}, bad},
        {{"token="}, bad},
        {{"token=%41"}, bad},
        {{"token=a%2Eb"}, bad},
        {{"token=x&token=x"}, bad},
        {{"token&token=x"}, bad},
        {{"token=x?token=y"}, bad},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        check(&cases[i], cases[i].token, read_query);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_authorization),
        cmocka_unit_test(test_cookie),
        cmocka_unit_test(test_query),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
