/*
 * main.c - limpet-tune: reads, explains, applies and takes back what a host must be set to.
 */
#include "tuning/apply.h"
#include "tuning/check.h"
#include "tuning/page.h"
#include "tuning/plan_report.h"
#include "tuning/profile.h"
#include "tuning/request.h"
#include "tuning/revert.h"
#include "tuning/watch.h"

#include "server/host_target.h"

#include <stdlib.h>

#define STATUS_OK 0
/* Of check: something is low or risky; of revert: something was left alone. */
#define STATUS_BAD    1
#define STATUS_FAILED 2
#define MESSAGE_SIZE  512

static int fail(const char *message)
{
    (void)fprintf(stderr, "limpet-tune: %s\n", message);
    return -1;
}

/* What matters of the server's options: of the file, or its defaults. */
static int read_options(const struct request *request, struct target_options *out)
{
    struct options options;
    int result = 0;

    options_init(&options);
    if (request->options_path) {
        result = options_read_file(&options, request->options_path, stderr);
    }
    host_target_options(&options, out);
    options_free(&options);
    return result;
}

static int make_plan(const struct request *request, struct plan *plan)
{
    static struct machine machine;
    struct target_options options;
    struct target target;
    char message[MESSAGE_SIZE];

    if (read_options(request, &options) != 0) {
        return fail("the options file is not right: see above");
    }
    if (machine_read(&machine, request->root, request->nic, request->pid, message,
                     sizeof(message)) != 0) {
        return fail(message);
    }
    machine_target(&machine, &options, request->connections, request->connect_rate, &target);
    target.is_load_host = request->is_load_host;
    plan_make(plan, &machine, &target);
    return 0;
}

/* Everything went to the stream, also the last byte. */
static int finish(FILE *out, int status)
{
    if (fflush(out) != 0 || ferror(out)) {
        (void)fail("the report could not be written: is the disk full?");
        return STATUS_FAILED;
    }
    return status;
}

static int print_json(json_t *json, FILE *out)
{
    if (!json || json_dumpf(json, out, JSON_INDENT(2)) != 0 || fputc('\n', out) == EOF) {
        return fail("the report could not be written as JSON");
    }
    return 0;
}

static int run_plan(const struct request *request, const struct plan *plan)
{
    int status = STATUS_OK;

    if (request->json) {
        json_t *json = plan_json(plan);
        status = print_json(json, stdout) == 0 ? STATUS_OK : STATUS_FAILED;
        json_decref(json);
    } else {
        plan_print(plan, stdout);
    }
    return finish(stdout, status);
}

/* Tells of an apply that was killed, or a state that cannot be read: the status for that. */
static int check_pending(const struct request *request)
{
    char message[MESSAGE_SIZE];
    int pending = revert_pending(request->root, message, sizeof(message));

    if (message[0] != '\0') {
        (void)fail(message);
    }
    if (pending < 0) {
        return STATUS_FAILED;
    }
    return pending == 2 ? STATUS_BAD : STATUS_OK;
}

static int run_check(const struct request *request, const struct plan *plan)
{
    static struct check check;

    if (request->watch) {
        return finish(stdout,
                      watch_run(&plan->machine, request->interval_ms, request->count, stdout));
    }
    check_run(&check, plan, request->interval_ms);
    const int pending = check_pending(request);
    int status = check_status(&check);
    status = pending > status ? pending : status;
    if (request->json) {
        json_t *json = check_json(&check);
        status = print_json(json, stdout) == 0 ? status : STATUS_FAILED;
        json_decref(json);
    } else {
        check_print(&check, stdout);
    }
    return finish(stdout, status);
}

static int run_profile(const struct request *request)
{
    const struct profile *profile;
    char count[TEXT_SIZE];

    if (!request->profile) {
        for (size_t i = 0; (profile = profile_at(i)) != NULL; i++) {
            text_print(stdout, "%-12s %10s connections on %s\n", profile->name,
                       text_count(profile->target.connections, count), profile->host);
        }
        return finish(stdout, STATUS_OK);
    }
    profile = profile_find(request->profile);
    if (!profile) {
        (void)fprintf(stderr,
                      "limpet-tune: there is no profile %s; `limpet-tune profile` lists them\n",
                      request->profile);
        return STATUS_FAILED;
    }
    profile_write(profile, stdout);
    return finish(stdout, STATUS_OK);
}

static struct apply_options apply_options(const struct request *request)
{
    return (struct apply_options){
        .root = request->root,
        .yes = request->yes,
        .dry_run = request->dry_run,
        .in = stdin,
        .out = stdout,
        .errors = stderr,
    };
}

/* The plan is made after a killed apply has been taken back: it reads what is live. */
static int run_apply(const struct request *request, struct plan *plan)
{
    struct apply_options options = apply_options(request);
    struct change changes[APPLY_CHANGES_MAX];
    char inputs[MESSAGE_SIZE];
    char count[TEXT_SIZE];
    char rate[TEXT_SIZE];

    if (apply_recover(&options) != 0 || make_plan(request, plan) != 0) {
        return STATUS_FAILED;
    }
    int size = snprintf(inputs, sizeof(inputs), "%s connections, %s new a second, on ",
                        text_count(plan->target.connections, count),
                        text_count(plan->target.connect_rate, rate));
    machine_describe(&plan->machine, inputs + size, sizeof(inputs) - (size_t)size);
    options.inputs = inputs;
    uint32_t change_count = plan_changes(plan, changes, APPLY_CHANGES_MAX);
    change_count = plan_holding(plan, changes, change_count, APPLY_CHANGES_MAX);
    int result = apply_run(&options, changes, change_count);
    return finish(stdout, result == 0 ? STATUS_OK : STATUS_FAILED);
}

static int run_revert(const struct request *request)
{
    const struct apply_options options = apply_options(request);
    int result = revert_run(&options);

    if (result < 0) {
        return finish(stdout, STATUS_FAILED);
    }
    return finish(stdout, result == 0 ? STATUS_OK : STATUS_BAD);
}

int main(int argc, char **argv)
{
    static struct plan plan;
    struct request request;

    request_read(&request, argc, argv);
    page_setup(stdout);
    switch (request.verb) {
    case VERB_PLAN:
        if (make_plan(&request, &plan) != 0) {
            return STATUS_FAILED;
        }
        return run_plan(&request, &plan);
    case VERB_CHECK:
        if (make_plan(&request, &plan) != 0) {
            return STATUS_FAILED;
        }
        return run_check(&request, &plan);
    case VERB_PROFILE:
        return run_profile(&request);
    case VERB_APPLY:
        return run_apply(&request, &plan);
    case VERB_REVERT:
        return run_revert(&request);
    }
    return STATUS_OK;
}
