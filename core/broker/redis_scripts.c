#include "broker/redis_scripts.h"

#include "base/digest.h"
#include "broker/redis_scripts_text.h" /* made of scripts/ by CMake */

#include <stdio.h>

static const char *const texts[REDIS_SCRIPTS] = {[REDIS_PUBLISH] = REDIS_PUBLISH_LUA,
                                                 [REDIS_HISTORY] = REDIS_HISTORY_LUA,
                                                 [REDIS_PRESENCE] = REDIS_PRESENCE_LUA};

struct slice redis_script_text(enum redis_script script)
{
    ASSERT(script < REDIS_SCRIPTS);
    return slice_text(texts[script]);
}

/* Redis names a script by the SHA-1 of its text. Made once: the broker's thread is the only one. */
static struct slice name_of(enum redis_script script)
{
    static char names[REDIS_SCRIPTS][2 * SHA1_SIZE + 1];
    char *name = names[script];

    if (name[0] == '\0') {
        uint8_t digest[SHA1_SIZE];
        sha1(redis_script_text(script), digest);
        for (size_t i = 0; i < SHA1_SIZE; i++) {
            (void)snprintf(name + 2 * i, 3, "%02x", digest[i]);
        }
    }
    return slice_text(name);
}

void redis_script_call(struct redis_bytes *bytes, enum redis_script script, bool with_text,
                       uint32_t argument_count)
{
    redis_bytes_command(bytes, argument_count + 2);
    redis_bytes_text(bytes, with_text ? "EVAL" : "EVALSHA");
    redis_bytes_argument(bytes, with_text ? redis_script_text(script) : name_of(script));
}
