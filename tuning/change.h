/*
 * change.h - one change that the plan wants and that can be written and taken back: what the table
 * of settings (settings.h) hands to `limpet-tune apply`.
 */
#pragma once

#include <stdbool.h>

enum change_kind {
    CHANGE_SYSCTL,      /* key: "net.core.somaxconn" */
    CHANGE_UNIT_LIMIT,  /* key: "LimitNOFILE", of the service's unit */
    CHANGE_LOGIN_LIMIT, /* key: "nofile", for login shells */
};

struct change {
    enum change_kind kind;
    bool may_be_absent; /* the key exists on some kernels only, or with a module */
    char key[96];
    char wanted[96]; /* as it is written: "625000 833333 1250000" */
    char now[96];    /* as it is read, with single spaces; "": not known */
    char why[256];   /* one sentence with its arithmetic */
};
