/*
 * reload_command.h - `limpet reload`: a running server reads its options, certificates and keys
 * anew.
 */
#pragma once

/* Returns the process's exit status: 0 only when the server took everything. */
int reload_command(int argc, char **argv);
