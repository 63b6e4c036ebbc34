/*
 * pem.h - files of PEM text (RFC 7468): read whole, taken apart block by block.
 */
#pragma once

#include "base/bytes.h"

#define PEM_FILE_SIZE_MAX (1 << 20) /* bytes: far more than any chain */

struct pem_file {
    uint8_t *text; /* terminated; the caller frees by pem_close */
    size_t size;
};

/* 0, or -1 with a message that names the file and the reason. */
MUST_CHECK int pem_open(struct pem_file *file, const char *path, char *message,
                        size_t message_size);
void pem_close(struct pem_file *file); /* wipes it */

/* Takes the next block, BEGIN and END line included, whose label ends with suffix; false: no more.
 */
MUST_CHECK bool pem_next(struct slice *rest, const char *suffix, struct slice *block);
