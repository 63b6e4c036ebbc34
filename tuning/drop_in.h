/*
 * drop_in.h - the files that apply writes, and their texts.
 */
#pragma once

#include "tuning/journal.h"

#define DROP_IN_SYSCTL "/etc/sysctl.d/90-limpet.conf"
#define DROP_IN_UNIT   "/etc/systemd/system/limpet.service.d/90-limpet.conf"
#define DROP_IN_LOGIN  "/etc/security/limits.d/90-limpet.conf"

/* The path of the file for a kind of change. */
const char *drop_in_path(enum change_kind kind);

/* A path that apply may write, a folder that it may make. */
MUST_CHECK bool drop_in_is_file(const char *path);
MUST_CHECK bool drop_in_is_folder(const char *path);

/* Each writes a whole text, with its reasons and what was before. False: it is longer than
 * JOURNAL_TEXT_SIZE. The first from the journal's values; the second from the changes of the kind
 * that the path is for. */
MUST_CHECK bool drop_in_write_sysctls(const struct journal *journal, char out[JOURNAL_TEXT_SIZE]);
MUST_CHECK bool drop_in_write_limits(const char *inputs, const struct change *changes, size_t count,
                                     enum change_kind kind, char out[JOURNAL_TEXT_SIZE]);
