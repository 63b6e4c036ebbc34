#include "server/controls.h"

#include "server/drain_control.h"
#include "server/reload.h"
#include "server/run.h"

#include <sys/stat.h>
#include <unistd.h>

#define MESSAGE_SIZE    1024
#define STANDARD_FOLDER "/run/limpet"

static const struct control_path {
    const char *path;
    enum control_method method;
    /* Sets the answer, on the main thread, which does nothing else meanwhile. */
    void (*handle)(struct run *run, const struct control_request *request,
                   struct control_answer *answer);
} paths[] = {
    {"/reload", CONTROL_POST, reload_control},
    {"/drain", CONTROL_GET, drain_control_status},
    {"/drain", CONTROL_POST, drain_control_begin},
    {"/drain", CONTROL_DELETE, drain_control_undo},
};

#define PATHS (sizeof(paths) / sizeof(paths[0]))

bool controls_path(const struct options *options, char path[CONTROL_PATH_SIZE])
{
    const char *wanted = options->admin.control;
    struct stat status;

    if (!wanted) {
        wanted = CONTROL_PATH_STANDARD;
        if (stat(STANDARD_FOLDER, &status) != 0 || !S_ISDIR(status.st_mode) ||
            status.st_uid != geteuid()) {
            return false;
        }
    }
    /* What is too long is cut here, and refused when it is opened by its own name. */
    (void)snprintf(path, CONTROL_PATH_SIZE, "%s", wanted);
    return wanted[0] != '\0';
}

int controls_open(struct run *run)
{
    const struct options *options = &run->arguments->options;
    char path[CONTROL_PATH_SIZE];
    char message[MESSAGE_SIZE];

    if (!controls_path(options, path)) {
        return 0;
    }
    run->control = control_open(options->admin.control ? options->admin.control : path, message,
                                sizeof(message));
    return run->control ? 0 : service_fail(message);
}

static void answer_one(struct run *run, const struct control_request *request,
                       struct control_answer *answer)
{
    bool is_path = false;

    for (size_t i = 0; i < PATHS; i++) {
        const bool is_same = strcmp(paths[i].path, request->path) == 0;
        is_path = is_path || is_same;
        if (is_same && paths[i].method == request->method) {
            paths[i].handle(run, request, answer);
            return;
        }
    }
    control_refuse(answer, is_path ? 405 : 404,
                   is_path ? "this path has no such method" : "there is no such path");
}

void controls_answer(struct run *run)
{
    const struct control_request *request = run->control ? control_next(run->control) : NULL;
    struct control_answer answer = {.out = {.size_max = CONTROL_ANSWER_SIZE_MAX}};

    if (request) {
        answer_one(run, request, &answer);
        control_answer(run->control, &answer);
    }
}
