/*
 * token_command.h - `limpet token`: makes tokens with the options' (or dev mode's) first HMAC key.
 */
#pragma once

/* Returns the process's exit status. */
int token_command(int argc, char **argv);
