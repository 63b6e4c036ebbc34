#include "bench/idle.h"

#include "bench/run.h"

int idle_run(const struct bench_options *options)
{
    static struct run run;
    bool is_open = false;

    if (run_prepare(&run, options) == 0) {
        is_open = run_ramp(&run) == 0;
        if (is_open) {
            run_hold(&run);
        }
        run_let_go(&run);
    }
    return run_end(&run, is_open, is_open && run.result->open == options->connections);
}
