#include "bench/report.h"

#include "base/text.h"

static int close_file(FILE *file, const char *path)
{
    bool failed = ferror(file) != 0;

    if (fclose(file) != 0 || failed) {
        text_print(stderr, "%s: could not be written\n", path);
        return -1;
    }
    return 0;
}

static int write_json(const struct result *result, const char *path)
{
    json_t *object = report_json(result);
    FILE *file = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    int status = -1;

    if (object && file) {
        status = json_dumpf(object, file, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        text_print(file, "\n");
    }
    if (file && file != stdout) {
        status = close_file(file, path) == 0 ? status : -1;
    }
    if (!object || !file) {
        text_print(stderr, "%s: could not be written\n", path);
    }
    json_decref(object);
    return status;
}

int report_write(const struct result *result)
{
    const struct bench_options *options = result->options;
    int status = 0;

    report_text(result,
                options->json_path && strcmp(options->json_path, "-") == 0 ? stderr : stdout);
    if (options->json_path) {
        status = write_json(result, options->json_path);
    }
    if (options->html_path) {
        FILE *file = fopen(options->html_path, "we");
        if (!file) {
            text_print(stderr, "%s: could not be written\n", options->html_path);
            return -1;
        }
        report_html(result, file);
        status = close_file(file, options->html_path) == 0 ? status : -1;
    }
    return status;
}
