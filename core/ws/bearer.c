#include "ws/bearer.h"
#include "ws/query.h"
#include "ws/request.h"

void bearer_add(struct bearer *bearer, struct slice token)
{
    bearer->is_bad = bearer->is_bad || bearer->is_there || !request_is_token68(token);
    bearer->is_there = true;
    bearer->token = token;
}

void bearer_read_authorization(struct bearer *bearer, struct slice value)
{
    struct slice scheme = slice_text("Bearer");
    size_t at = scheme.size;

    if (value.size < at || !slice_equal_fold(slice_from(value.data, at), scheme)) {
        return;
    }
    /* "BearerX" is another scheme; "Bearer" and a tab is this one, misspelled. */
    if (value.size > at && value.data[at] != ' ' && value.data[at] != '\t') {
        return;
    }
    while (at < value.size && value.data[at] == ' ') {
        at++;
    }
    bearer_add(bearer, slice_from(value.data + at, value.size - at));
}

static struct slice unquote(struct slice text)
{
    if (text.size >= 2 && text.data[0] == '"' && text.data[text.size - 1] == '"') {
        return slice_from(text.data + 1, text.size - 2);
    }
    return text;
}

void bearer_read_cookie(struct bearer *bearer, struct slice value, const char *name)
{
    struct slice wanted = slice_text(name);
    struct slice pair;

    while (request_next_element(&value, ';', &pair)) {
        if (pair.size > wanted.size && pair.data[wanted.size] == '=' &&
            slice_equal(slice_from(pair.data, wanted.size), wanted)) {
            size_t at = wanted.size + 1;
            bearer_add(bearer, unquote(slice_from(pair.data + at, pair.size - at)));
        }
    }
}

void bearer_read_query(struct bearer *bearer, struct slice query, const char *name)
{
    struct slice wanted = slice_text(name);
    struct slice pair_name;
    struct slice value;

    while (query_next(&query, &pair_name, &value)) {
        if (slice_equal(pair_name, wanted)) {
            bearer_add(bearer, value);
        }
    }
}
