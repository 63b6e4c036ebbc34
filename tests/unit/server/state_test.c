/*
 * Goal: dev mode's folder is made where it is expected, once, for its owner only; what is there is
 * kept, what is missing is made anew, and what stands in the way is named.
 */
#include "server/state.h"

#include "child.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static struct child_folder folder;
static struct state made;
static char message[1024];

static int open_folder(void **unused)
{
    (void)unused;
    child_folder_open(&folder);
    return 0;
}

static int close_folder(void **unused)
{
    (void)unused;
    child_folder_close(&folder);
    return 0;
}

static const char *in_folder(const char *name)
{
    static char path[PATH_MAX];

    (void)snprintf(path, sizeof(path), "%s/%s", folder.path, name);
    return path;
}

static int open_state(const char *directory)
{
    message[0] = '\0';
    return state_open(&made, directory, message, sizeof(message));
}

static size_t read_file(const char *path, char *text, size_t size)
{
    FILE *file = fopen(path, "re");

    assert_non_null(file);
    size_t got = fread(text, 1, size, file);
    assert_int_equal(fclose(file), 0);
    return got;
}

static void assert_mode(const char *path, mode_t mode)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, mode);
}

/* --- what is made ----------------------------------------------------------------------------- */

static void it_is_made_once_and_kept(void **unused)
{
    char before[4][4096];
    char after[4096];
    size_t sizes[4];

    (void)unused;
    const mode_t mask = umask(0);
    assert_int_equal(open_state(in_folder("a/b/c")), 0);
    umask(mask);
    assert_true(made.is_new);
    const char *const paths[] = {made.certificate_path, made.key_path, made.secret_path,
                                 made.api_key_path};
    assert_mode(in_folder("a"), 0700);
    assert_mode(in_folder("a/b"), 0700);
    assert_mode(in_folder("a/b/c"), 0700);
    for (size_t i = 0; i < 4; i++) {
        assert_mode(paths[i], 0600);
        sizes[i] = read_file(paths[i], before[i], sizeof(before[i]));
        assert_true(sizes[i] > 0);
    }

    assert_int_equal(open_state(in_folder("a/b/c")), 0);
    assert_false(made.is_new);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(read_file(paths[i], after, sizeof(after)), sizes[i]);
        assert_memory_equal(after, before[i], sizes[i]);
    }
}

static void a_secret_is_64_digits_of_its_own(void **unused)
{
    char first[128];
    char second[128];

    (void)unused;
    assert_int_equal(open_state(in_folder("one")), 0);
    assert_int_equal(read_file(made.secret_path, first, sizeof(first)), 65);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    assert_int_equal(first[64], '\n');
    assert_int_equal(open_state(in_folder("two")), 0);
    assert_int_equal(read_file(made.secret_path, second, sizeof(second)), 65);
    assert_memory_not_equal(first, second, 64);
    assert_int_equal(read_file(made.api_key_path, first, sizeof(first)), 65);
    assert_int_equal(strspn(first, "0123456789abcdef"), 64);
    assert_memory_not_equal(first, second, 64); /* who may connect may not publish by it */
}

static void what_is_missing_is_made_anew(void **unused)
{
    char certificate[4096];
    char secret[128];
    char again[4096];

    (void)unused;
    assert_int_equal(open_state(in_folder("missing")), 0);
    size_t size = read_file(made.certificate_path, certificate, sizeof(certificate));
    (void)read_file(made.secret_path, secret, sizeof(secret));

    assert_int_equal(unlink(made.secret_path), 0);
    assert_int_equal(open_state(in_folder("missing")), 0);
    assert_true(made.is_new);
    assert_int_equal(read_file(made.certificate_path, again, sizeof(again)), size);
    assert_memory_equal(again, certificate, size);
    assert_int_equal(read_file(made.secret_path, again, sizeof(again)), 65);
    assert_memory_not_equal(again, secret, 65);

    /* A certificate without its key is of no use: both are new. */
    assert_int_equal(unlink(made.key_path), 0);
    assert_int_equal(open_state(in_folder("missing")), 0);
    assert_true(made.is_new);
    size = read_file(made.certificate_path, again, sizeof(again));
    assert_memory_not_equal(again, certificate, size);
    assert_mode(made.key_path, 0600);
}

/* --- where ------------------------------------------------------------------------------------ */

static void set(const char *name, const char *value)
{
    if (value) {
        assert_int_equal(setenv(name, value, 1), 0);
    } else {
        assert_int_equal(unsetenv(name), 0);
    }
}

static void the_environment_names_the_place(void **unused)
{
    static char home[PATH_MAX];
    static char state_home[PATH_MAX];
    static char expected[PATH_MAX];

    (void)unused;
    (void)snprintf(home, sizeof(home), "%s", in_folder("home"));
    (void)snprintf(state_home, sizeof(state_home), "%s", in_folder("state-home"));
    set("HOME", home);
    set("XDG_STATE_HOME", state_home);
    assert_int_equal(open_state(NULL), 0);
    assert_string_equal(made.directory, in_folder("state-home/limpet"));
    assert_string_equal(made.secret_path, in_folder("state-home/limpet/secret"));
    assert_int_equal(open_state(in_folder("named")), 0); /* a named one goes before */
    assert_string_equal(made.directory, in_folder("named"));

    (void)snprintf(expected, sizeof(expected), "%s", in_folder("home/.local/state/limpet"));
    set("XDG_STATE_HOME", "relative/path"); /* to be ignored, says its specification */
    assert_int_equal(open_state(NULL), 0);
    assert_string_equal(made.directory, expected);
    set("XDG_STATE_HOME", NULL);
    assert_int_equal(open_state(NULL), 0);
    assert_string_equal(made.directory, expected);

    set("HOME", "relative");
    assert_int_equal(open_state(NULL), -1);
    assert_non_null(strstr(message, "name another with --state DIR"));
    set("HOME", NULL);
    assert_int_equal(open_state(NULL), -1);
    assert_non_null(strstr(message, "No such file or directory"));
}

static void what_stands_in_the_way_is_named(void **unused)
{
    static char long_path[2 * PATH_MAX];

    (void)unused;
    const char *file = child_folder_write(&folder, "file", "");
    assert_int_equal(open_state(in_folder("file/below")), -1);
    assert_non_null(strstr(message, file));
    assert_non_null(strstr(message, "Not a directory; name another with --state DIR"));

    memset(long_path, 'x', sizeof(long_path) - 1);
    assert_int_equal(open_state(long_path), -1);
    assert_memory_equal(message, "state folder xxx", 16);

    /* A link to nowhere: the secret is not written to where somebody else would have it. */
    assert_int_equal(mkdir(in_folder("linked"), 0700), 0);
    assert_int_equal(symlink("../elsewhere", in_folder("linked/secret")), 0);
    (void)open_state(in_folder("linked")); /* whoever reads the secret complains */
    assert_int_not_equal(access(in_folder("elsewhere"), F_OK), 0);

    /* A folder under the name of the key. */
    assert_int_equal(mkdir(in_folder("taken"), 0700), 0);
    assert_int_equal(mkdir(in_folder("taken/key.pem"), 0700), 0);
    assert_int_equal(open_state(in_folder("taken")), -1);
    assert_non_null(strstr(message, in_folder("taken/key.pem")));
    assert_non_null(strstr(message, "cannot be written"));
}

/* --- the options ------------------------------------------------------------------------------ */

static void the_options_are_for_development(void **unused)
{
    struct options options;

    (void)unused;
    assert_int_equal(open_state(in_folder("options")), 0);
    options_init(&options);
    state_set_options(&made, &options);
    assert_int_equal(options.listen.count, 1);
    assert_string_equal(options.listen.names[0], "127.0.0.1:8443"); /* nobody else's */
    assert_int_equal(options.tls.certificate_count, 1);
    assert_string_equal(options.tls.certificates[0].certificate, made.certificate_path);
    assert_string_equal(options.tls.certificates[0].key, made.key_path);
    assert_int_equal(options.token.key_count, 1);
    assert_string_equal(options.token.keys[0].algorithm, "HS256");
    assert_string_equal(options.token.keys[0].path, made.secret_path);
    assert_null(options.token.keys[0].kid);
    assert_true(options.token.required);
    assert_true(options.token.in_authorization);
    assert_true(options.token.in_protocol);
    assert_true(options.token.in_cookie);
    assert_true(options.token.in_query);
    assert_string_equal(options.admin.api_key_file, made.api_key_path);
    assert_string_equal(options.plain.publish_channel, "");
    assert_int_equal(options_validate(&options, stderr), 0);
    options_free(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_made_once_and_kept),
        cmocka_unit_test(a_secret_is_64_digits_of_its_own),
        cmocka_unit_test(what_is_missing_is_made_anew),
        cmocka_unit_test(the_environment_names_the_place),
        cmocka_unit_test(what_stands_in_the_way_is_named),
        cmocka_unit_test(the_options_are_for_development),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
