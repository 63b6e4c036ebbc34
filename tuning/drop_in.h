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

/* The whole text of the file for a kind, out of the journal's values of that kind, with their
 * reasons and what was before. False: it is longer than JOURNAL_TEXT_SIZE. */
MUST_CHECK bool drop_in_write(const struct journal *journal, enum change_kind kind,
                              char out[JOURNAL_TEXT_SIZE]);
