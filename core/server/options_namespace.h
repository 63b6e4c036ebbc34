/*
 * options_namespace.h - an entry of the option namespaces: its keys, and what they mean. Only for
 * options*.c.
 */
#pragma once

#include "server/options.h"

struct option_row;

/* The keys behind the name, in the order of struct option_namespace, as options with their offsets
 * in struct namespace; NULL past the last. */
MUST_CHECK const struct option_row *option_namespace_key_at(size_t index);

/*
 * What the texts of an entry (name first; NULL: left out) mean, with defaults where they say
 * nothing; made->name is the caller's to set. others: entries that are there already. 0, or -1 with
 * a message.
 */
MUST_CHECK int option_namespace_make(const struct namespaces *others, const char *const *texts,
                                     struct namespace *made, char *message, size_t message_size);

/* Every key with its default and help, lined up. */
void option_namespace_describe_keys(FILE *out);

/* One line: what holds in the namespace. */
void option_namespace_describe(const struct namespace *space, FILE *out);
