#include "base/glob.h"

/*
 * Only the last '*' is ever returned to: what an earlier one could take more, the last one can,
 * too.
 */
bool glob_matches(struct slice pattern, struct slice text)
{
    size_t at = 0;          /* in the pattern */
    size_t read = 0;        /* of the text */
    size_t star = SIZE_MAX; /* after the last '*' */
    size_t star_took = 0;   /* the text up to here is before it or taken by it */

    while (read < text.size) {
        if (at < pattern.size && pattern.data[at] == '*') {
            star = ++at;
            star_took = read;
        } else if (at < pattern.size &&
                   (pattern.data[at] == '?' || pattern.data[at] == text.data[read])) {
            at++;
            read++;
        } else if (star != SIZE_MAX) {
            at = star;
            read = ++star_took;
        } else {
            return false;
        }
    }
    while (at < pattern.size && pattern.data[at] == '*') {
        at++;
    }
    return at == pattern.size;
}
