/*
 * main.c - limpet-tune: reads, explains, applies and takes back what a host must be set to.
 */
#include "tuning/request.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    struct request request;

    request_read(&request, argc, argv);
    switch (request.verb) {
    case VERB_PLAN:
    case VERB_CHECK:
    case VERB_PROFILE:
    case VERB_APPLY:
    case VERB_REVERT:
        break;
    }
    return 0;
}
