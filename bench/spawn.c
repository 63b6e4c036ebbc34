#include "bench/spawn.h"

#include "base/random.h"
#include "base/text.h"
#include "bench/scrape.h"
#include "tls/ticket.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS_MAX   128
#define READY_TURNS     600 /* of TURN_NS: 60 s, a million connections' tables take a while */
#define STOP_TURNS      200
#define TURN_NS         100000000L
#define PORT_TURNS      3000 /* of PORT_TURN_NS: 30 s */
#define PORT_TURN_NS    10000000L
#define LOG_TAIL_SIZE   1200
#define TOKENS_SIZE_MAX (64u << 20)

static void pause_turn(void)
{
    const struct timespec turn = {.tv_nsec = TURN_NS};

    (void)nanosleep(&turn, NULL);
}

/* Ports that nobody has at this moment, none of them twice; 0: there is none. */
static void free_ports(uint16_t *ports, size_t count)
{
    int fds[2];

    ASSERT(count <= sizeof(fds) / sizeof(fds[0]));
    for (size_t i = 0; i < count; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET,
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t size = sizeof(address);
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ports[i] = 0;
        if (fds[i] >= 0 && bind(fds[i], (struct sockaddr *)&address, sizeof(address)) == 0 &&
            getsockname(fds[i], (struct sockaddr *)&address, &size) == 0) {
            ports[i] = ntohs(address.sin_port);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (fds[i] >= 0) {
            (void)close(fds[i]);
        }
    }
}

/* Next to this program if it is there, else by PATH. */
static void find_program(struct spawn *spawn, const char *given)
{
    char self[sizeof(spawn->program) - sizeof("limpet")];
    ssize_t size = readlink("/proc/self/exe", self, sizeof(self) - 1);

    (void)snprintf(spawn->program, sizeof(spawn->program), "%s", given ? given : "limpet");
    if (given || size <= 0) {
        return;
    }
    self[size] = '\0';
    char *name = strrchr(self, '/');
    ASSERT(name);
    name[1] = '\0';
    char *joined = NULL;
    if (asprintf(&joined, "%slimpet", self) > 0) {
        if (access(joined, X_OK) == 0) {
            (void)snprintf(spawn->program, sizeof(spawn->program), "%s", joined);
        }
        free(joined);
    }
}

/* --- running ---------------------------------------------------------------------------------- */

/* In the child: output_fd becomes standard output, error_fd standard error. */
static _Noreturn void run(char *const *arguments, int output_fd, int error_fd)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* it does not outlive us */
    (void)setpgid(0, 0);                    /* Ctrl-C is for us: we stop it */
    if (dup2(output_fd, STDOUT_FILENO) >= 0 && dup2(error_fd, STDERR_FILENO) >= 0) {
        (void)execvp(arguments[0], arguments);
    }
    dprintf(error_fd, "%s: cannot be run, errno %d\n", arguments[0], errno);
    _exit(127);
}

static void log_path(const struct spawn *spawn, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/server.log", spawn->folder);
}

/* Appends the end of the server's log to a message. */
static void append_log(const struct spawn *spawn, char *message, size_t message_size)
{
    char path[128];
    char tail[LOG_TAIL_SIZE + 1];

    log_path(spawn, path, sizeof(path));
    FILE *file = fopen(path, "re");
    if (!file) {
        return;
    }
    if (fseek(file, -LOG_TAIL_SIZE, SEEK_END) != 0) {
        rewind(file);
    }
    size_t size = fread(tail, 1, LOG_TAIL_SIZE, file);
    tail[size] = '\0';
    (void)fclose(file);
    size_t used = strlen(message);
    (void)snprintf(message + used, message_size - used, "\n%s", tail);
}

/* Dev mode makes one; without it the key is as given. */
static void read_api_key(struct spawn *spawn)
{
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/api-key", spawn->folder);
    FILE *file = fopen(path, "re");
    if (!file) {
        return;
    }
    if (fgets(spawn->api_key, sizeof(spawn->api_key), file)) {
        spawn->api_key[strcspn(spawn->api_key, "\r\n")] = '\0';
    }
    (void)fclose(file);
}

static int wait_ready(struct spawn *spawn, char *message, size_t message_size)
{
    for (uint32_t i = 0; i < READY_TURNS; i++) {
        int status;
        if (waitpid(spawn->pid, &status, WNOHANG) == spawn->pid) {
            spawn->pid = 0;
            (void)snprintf(message, message_size, "%s ended with status %d:", spawn->program,
                           WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
            append_log(spawn, message, message_size);
            return -1;
        }
        if (scrape_get(&spawn->admin, "/health/ready", NULL) == 200) {
            read_api_key(spawn);
            return 0;
        }
        pause_turn();
    }
    (void)snprintf(message, message_size, "%s was not ready within a minute:", spawn->program);
    append_log(spawn, message, message_size);
    return -1;
}

struct arguments {
    char *words[ARGUMENTS_MAX];
    uint32_t count;
    char text[8][64];
    char path[128];
};

static void add(struct arguments *arguments, const char *word)
{
    /* execvp changes none of them; its type is older than const. */
    const union {
        const char *given;
        char *taken;
    } either = {.given = word};

    ASSERT(arguments->count < ARGUMENTS_MAX - 1);
    arguments->words[arguments->count++] = either.taken;
}

static void ticket_path(const struct spawn *spawn, char *path, size_t size)
{
    (void)snprintf(path, size, "%s/ticket.key", spawn->folder);
}

/* Of a storm's server: tickets are to outlive it. */
static int make_ticket_key(const struct spawn *spawn)
{
    uint8_t key[TICKET_KEY_FILE_ENTRY];
    char path[128];

    ticket_path(spawn, path, sizeof(path));
    random_bytes(key, sizeof(key));
    FILE *file = fopen(path, "we");
    if (!file) {
        return -1;
    }
    const bool is_written = fwrite(key, sizeof(key), 1, file) == 1;
    return fclose(file) == 0 && is_written && chmod(path, 0600) == 0 ? 0 : -1;
}

static void add_server_words(struct arguments *arguments, const struct spawn *spawn,
                             const struct bench_options *options)
{
    (void)snprintf(arguments->text[0], 64, "127.0.0.1:%u", (unsigned)spawn->port);
    (void)snprintf(arguments->text[1], 64, "%u", spawn->shards);
    (void)snprintf(arguments->text[2], 64, "127.0.0.1:%u", (unsigned)ntohs(spawn->admin.sin6_port));
    /* Some more than are held: those that come while others are being closed. */
    (void)snprintf(arguments->text[3], 64, "%u",
                   options->connections + options->connections / 50 + 1000 + options->others_max);
    const char *const words[] = {spawn->program,
                                 "serve",
                                 "--state",
                                 spawn->folder,
                                 "--listen",
                                 arguments->text[0],
                                 "--shards",
                                 arguments->text[1],
                                 "--admin.listen",
                                 arguments->text[2],
                                 "--limits.connections-max",
                                 arguments->text[3]};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        add(arguments, words[i]);
    }
    if (options->scenario == SCENARIO_FANOUT && options->messages.via == VIA_CLIENT) {
        add(arguments, "--plain.publish-channel");
        add(arguments, options->messages.channel);
    }
    if (options->messages.channels_each > 1) { /* the server's own guess is two each */
        (void)snprintf(arguments->text[4], 64, "%u",
                       options->connections / spawn->shards * 2 * options->messages.channels_each);
        add(arguments, "--limits.subscriptions-max");
        add(arguments, arguments->text[4]);
    }
    if (options->scenario == SCENARIO_STORM) {
        ticket_path(spawn, arguments->path, sizeof(arguments->path));
        add(arguments, "--tls.ticket-key-file");
        add(arguments, arguments->path);
    }
    for (uint32_t i = 0; i < options->server_option_count; i++) {
        add(arguments, options->server_options[i]);
    }
}

static int launch(struct spawn *spawn, const struct bench_options *options, char *message,
                  size_t message_size)
{
    struct arguments arguments = {0};
    char path[128];

    add_server_words(&arguments, spawn, options);
    log_path(spawn, path, sizeof(path));
    int log_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_TRUNC, 0600);
    spawn->pid = log_fd < 0 ? -1 : fork();
    if (spawn->pid == 0) {
        run(arguments.words, log_fd, log_fd);
    }
    if (log_fd >= 0) {
        (void)close(log_fd);
    }
    if (spawn->pid < 0) {
        spawn->pid = 0;
        (void)snprintf(message, message_size, "no process for the server (errno %d)", errno);
        return -1;
    }
    return wait_ready(spawn, message, message_size);
}

int spawn_start(struct spawn *spawn, const struct bench_options *options, uint32_t shards,
                char *message, size_t message_size)
{
    const char *temporary = getenv("TMPDIR"); // NOLINT(concurrency-mt-unsafe): before any thread
    uint16_t ports[2];

    free_ports(ports, 2);
    const struct sockaddr_in admin = {.sin_family = AF_INET,
                                      .sin_port = htons(ports[1]),
                                      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    *spawn = (struct spawn){.shards = shards, .channel = options->messages.channel};
    memcpy(&spawn->admin, &admin, sizeof(admin));
    if (options->server_option_count > ARGUMENTS_MAX - 20) {
        (void)snprintf(message, message_size, "too many server options");
        return -1;
    }
    (void)snprintf(spawn->folder, sizeof(spawn->folder), "%.40s/limpet-bench-XXXXXX",
                   temporary ? temporary : "/tmp");
    if (!mkdtemp(spawn->folder)) {
        (void)snprintf(message, message_size, "%s: no folder can be made there (errno %d)",
                       spawn->folder, errno);
        spawn->folder[0] = '\0';
        return -1;
    }
    if (options->scenario == SCENARIO_STORM && make_ticket_key(spawn) != 0) {
        (void)snprintf(message, message_size, "%s: no file can be made there (errno %d)",
                       spawn->folder, errno);
        return -1;
    }
    find_program(spawn, options->limpet_path);
    spawn->port = ports[0];
    (void)snprintf(spawn->url, sizeof(spawn->url), "wss://127.0.0.1:%u/", (unsigned)ports[0]);
    return launch(spawn, options, message, message_size);
}

/* The kernel closes a ring's sockets some time after the process has gone: until then the address
 * is taken, and a server that starts there fails. */
static void wait_for_port(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timespec pause = {.tv_nsec = PORT_TURN_NS};
    const int yes = 1;
    bool is_free = false;

    for (uint32_t i = 0; i < PORT_TURNS && !is_free; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        is_free = fd < 0 || (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
                             bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0);
        if (fd >= 0) {
            (void)close(fd);
        }
        if (!is_free) {
            (void)nanosleep(&pause, NULL);
        }
    }
}

int spawn_restart(struct spawn *spawn, const struct bench_options *options, char *message,
                  size_t message_size)
{
    (void)kill(spawn->pid, SIGKILL);
    (void)waitpid(spawn->pid, NULL, 0);
    spawn->pid = 0;
    wait_for_port(spawn->port);
    wait_for_port(ntohs(spawn->admin.sin6_port));
    return launch(spawn, options, message, message_size);
}

/* --- tokens ----------------------------------------------------------------------------------- */

static char *read_pipe(int fd)
{
    size_t room = 65536;
    size_t size = 0;
    char *text = malloc(room);

    while (text) {
        ssize_t taken = read(fd, text + size, room - size - 1);
        if (taken <= 0) {
            text[size] = '\0';
            break;
        }
        size += (size_t)taken;
        if (room - size < 4096) {
            room *= 2;
            char *larger = room > TOKENS_SIZE_MAX ? NULL : realloc(text, room);
            if (!larger) {
                free(text);
            }
            text = larger;
        }
    }
    return text;
}

/* A line "NAME CHANNEL,CHANNEL" for each. */
static int write_list(const struct spawn *spawn, const struct audience *audience, uint32_t count,
                      const char *path)
{
    FILE *file = fopen(path, "we");

    if (!file) {
        return -1;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint32_t channels = audience ? audience->channels_each : 0;
        text_print(file, "bench-%u ", i + 1);
        for (uint32_t place = 0; place < channels; place++) {
            char name[AUDIENCE_NAME_SIZE];
            uint32_t channel = audience_channel(audience, i, place);
            text_print(file, "%s%s", place == 0 ? "" : ",",
                       audience_name(audience, spawn->channel, channel, name));
        }
        text_print(file, "\n");
    }
    return fclose(file) == 0 ? 0 : -1;
}

int spawn_tokens(const struct spawn *spawn, const struct audience *audience, uint32_t count,
                 struct tokens *tokens, char *message, size_t message_size)
{
    struct arguments arguments = {0};
    char list[128];
    int channel[2];
    int status = -1;

    (void)snprintf(list, sizeof(list), "%s/tokens.list", spawn->folder);
    const char *const words[] = {spawn->program, "token", "--state", spawn->folder,
                                 "--ttl",        "24h",   "--list",  list};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        add(&arguments, words[i]);
    }
    if (write_list(spawn, audience, count, list) != 0 || pipe2(channel, O_CLOEXEC) != 0) {
        (void)snprintf(message, message_size, "no file or pipe for tokens (errno %d)", errno);
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        run(arguments.words, channel[1], STDERR_FILENO);
    }
    (void)close(channel[1]);
    char *text = read_pipe(channel[0]);
    (void)close(channel[0]);
    if (pid > 0) {
        (void)waitpid(pid, &status, 0);
    }
    if (!text || status != 0 || tokens_index(tokens, text) != 0 || tokens->count != count) {
        (void)snprintf(message, message_size, "`%s token` made no tokens", spawn->program);
        return -1;
    }
    return 0;
}

/* --- stopping --------------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

void spawn_stop(struct spawn *spawn)
{
    if (spawn->pid > 0) {
        (void)kill(spawn->pid, SIGTERM);
        uint32_t turns = 0;
        while (waitpid(spawn->pid, NULL, WNOHANG) == 0) {
            if (turns++ == STOP_TURNS) {
                (void)kill(spawn->pid, SIGKILL);
            }
            pause_turn();
        }
        spawn->pid = 0;
    }
    if (spawn->folder[0] != '\0') {
        // NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread is left
        (void)nftw(spawn->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
        spawn->folder[0] = '\0';
    }
}
