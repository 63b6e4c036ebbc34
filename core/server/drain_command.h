/*
 * drain_command.h - `limpet drain`: a running server lets its connections go, and says how far it
 * is; or takes it back.
 */
#pragma once

/* Returns the process's exit status. */
int drain_command(int argc, char **argv);
