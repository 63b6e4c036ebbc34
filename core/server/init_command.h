/*
 * init_command.h - `limpet init`: makes what a first start needs (a certificate, a secret, a key of
 * the HTTP API) in a folder, and leaves alone what is there.
 */
#pragma once

/* Returns the process's exit status. */
int init_command(int argc, char **argv);
