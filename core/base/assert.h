/*
 * assert.h - assertions that stay on in every build, and the marks that the compiler checks.
 *
 * ASSERT is for our own bugs only: never for bytes from the wire, allocation or a system call.
 */
#pragma once

#include <assert.h> /* static_assert */

#define MUST_CHECK               __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))

/* An expression, so that it adds no nesting where it stands. */
#define ASSERT(condition)                                                                          \
    (__builtin_expect(!(condition), 0) ? assert_failed(#condition, __FILE__, __LINE__) : (void)0)

/* Writes the place and the condition to stderr and aborts. Allocates nothing. */
_Noreturn void assert_failed(const char *condition, const char *file, int line);
