/*
 * controls.h - what can be asked for over the control socket (admin/control.h), as one table of
 * methods and paths. The main thread's.
 */
#pragma once

#include "server/options.h"

#include <sys/un.h>

struct run;

#define CONTROL_PATH_SIZE     sizeof(((struct sockaddr_un *)0)->sun_path)
#define CONTROL_PATH_STANDARD "/run/limpet/control"

/*
 * Where the socket is: admin.control; unset: /run/limpet/control when that folder is there and this
 * user's. False: there is none.
 */
MUST_CHECK bool controls_path(const struct options *options, char path[CONTROL_PATH_SIZE]);

/* Opens it, if there is to be one. 0, or -1 when it has said why not. */
MUST_CHECK int controls_open(struct run *run);

/* Answers the request that waits, if any. */
void controls_answer(struct run *run);
