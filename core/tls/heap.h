/*
 * heap.h - the library's heap: counted and bounded per thread while a handshake runs.
 *
 * wolfSSL takes its allocators for the whole process and without a context, so what a block belongs
 * to is told by when it was made: between heap_enter and heap_leave it is a handshake's, and is
 * refused over the thread's limit; else it is a library context's or a certificate's, and is
 * malloc's.
 */
#pragma once

#include "base/bytes.h"

/* Makes the library ready. Call before anything else of it; any number of times, any thread. */
void heap_install(void);

/* Raises (or lowers, when negative) what the handshakes of this thread may hold. */
void heap_allow(int64_t size);

/* Gives the memory of past handshakes back to the system. */
void heap_trim(void);

void heap_enter(void);
void heap_leave(void);

/* Bytes that the handshakes of this thread hold, and the most that they ever held. */
MUST_CHECK size_t heap_used(void);
MUST_CHECK size_t heap_peak(void);
void heap_peak_reset(void);

/* Our own part of a handshake, from the same heap and under the same bound. NULL: over the limit.
 * Blocks are wiped when they are given back. */
MUST_CHECK void *heap_take(size_t size);
void heap_give(void *block);
