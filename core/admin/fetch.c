#include "admin/fetch.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#define ROOM_FIRST  4096
#define CONNECT_MS  5000
#define HEADER_NAME "cache-control:"

/* What the library's callbacks work on. */
struct transfer {
    const struct fetch_request *request;
    struct fetch_answer *answer;
    size_t room;
    bool is_too_large;
};

void fetch_setup(void)
{
    ASSERT(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

/* --- what comes ------------------------------------------------------------------------------- */

static bool extend(struct transfer *transfer, size_t size)
{
    const size_t needed = transfer->answer->size + size + 1;
    size_t room = transfer->room > 0 ? transfer->room : ROOM_FIRST;

    while (room < needed) {
        room *= 2;
    }
    if (room > transfer->room) {
        char *data = realloc(transfer->answer->data, room);
        if (!data) {
            return false;
        }
        transfer->answer->data = data;
        transfer->room = room;
    }
    return true;
}

static size_t take_body(char *bytes, size_t one, size_t size, void *context)
{
    struct transfer *transfer = context;
    struct fetch_answer *answer = transfer->answer;

    (void)one;
    if (size > transfer->request->size_max - answer->size) {
        transfer->is_too_large = true;
        return 0;
    }
    if (!extend(transfer, size)) {
        return 0;
    }
    memcpy(answer->data + answer->size, bytes, size);
    answer->size += size;
    answer->data[answer->size] = '\0';
    return size;
}

/* The next of a list with commas between, without the blanks around it; false at the end. */
static bool next_directive(struct slice *rest, struct slice *directive)
{
    if (!rest->data) {
        return false;
    }
    const uint8_t *comma = memchr(rest->data, ',', rest->size);
    const size_t size = comma ? (size_t)(comma - rest->data) : rest->size;
    *directive = slice_from(rest->data, size);
    *rest = comma ? slice_from(comma + 1, rest->size - size - 1) : (struct slice){.data = NULL};
    while (directive->size > 0 && directive->data[0] <= ' ') {
        directive->data++;
        directive->size--;
    }
    while (directive->size > 0 && directive->data[directive->size - 1] <= ' ') {
        directive->size--;
    }
    return true;
}

static bool is_word(struct slice text, const char *word)
{
    return text.size == strlen(word) && strncasecmp((const char *)text.data, word, text.size) == 0;
}

/* RFC 9111, section 5.2.2. */
uint32_t fetch_max_age(struct slice value)
{
    static const char name[] = "max-age=";
    uint32_t age_s = UINT32_MAX;
    struct slice directive;

    while (next_directive(&value, &directive)) {
        if (is_word(directive, "no-store") || is_word(directive, "no-cache")) {
            return 0;
        }
        if (directive.size < sizeof(name) ||
            strncasecmp((const char *)directive.data, name, sizeof(name) - 1) != 0) {
            continue;
        }
        uint64_t number = 0;
        for (size_t i = sizeof(name) - 1; i < directive.size; i++) {
            if (directive.data[i] < '0' || directive.data[i] > '9') {
                return age_s;
            }
            number = number * 10 + (uint64_t)(directive.data[i] - '0');
            number = number < UINT32_MAX ? number : UINT32_MAX - 1;
        }
        age_s = (uint32_t)number;
    }
    return age_s;
}

static size_t take_header(char *bytes, size_t one, size_t size, void *context)
{
    const size_t name_size = sizeof(HEADER_NAME) - 1;
    struct transfer *transfer = context;

    (void)one;
    if (size > name_size && strncasecmp(bytes, HEADER_NAME, name_size) == 0) {
        transfer->answer->max_age_s =
            fetch_max_age(slice_from(bytes + name_size, size - name_size));
    }
    return size;
}

static int look_for_stop(void *context, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const struct transfer *transfer = context;

    (void)a;
    (void)b;
    (void)c;
    (void)d;
    return transfer->request->stop && counter_read(transfer->request->stop) != 0;
}

/* --- the request ------------------------------------------------------------------------------ */

/* The library checks the types of its arguments, so each is set where it stands. */
static bool set_up(CURL *curl, struct transfer *transfer, char *reason)
{
    const struct fetch_request *request = transfer->request;
    const bool is_local = request->unix_socket != NULL;
    const long timeout_ms = (long)request->timeout_ms;
    bool good = curl_easy_setopt(curl, CURLOPT_URL, request->url) == CURLE_OK;

    good &= curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, is_local ? "http" : "https") == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS,
                             timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->size_max) ==
            CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_USERAGENT, "limpet/" LIMPET_VERSION) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_HEADERDATA, transfer) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, look_for_stop) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_XFERINFODATA, transfer) == CURLE_OK;
    good &= curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    if (is_local) {
        good &= curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, request->unix_socket) == CURLE_OK;
        good &= curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK;
    }
    if (request->ca_file) {
        /* Only these: the system's folder, too, would be looked into. */
        good &= curl_easy_setopt(curl, CURLOPT_CAINFO, request->ca_file) == CURLE_OK;
        good &= curl_easy_setopt(curl, CURLOPT_CAPATH, NULL) == CURLE_OK;
    }
    if (request->method) {
        good &= curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request->method) == CURLE_OK;
    }
    return good;
}

static void tell(const struct transfer *transfer, CURLcode code, const char *reason, char *message,
                 size_t message_size)
{
    const struct fetch_request *request = transfer->request;

    if (transfer->is_too_large || code == CURLE_FILESIZE_EXCEEDED) {
        (void)snprintf(message, message_size, "%s: the answer is larger than %zu bytes",
                       request->url, request->size_max);
    } else if (code == CURLE_ABORTED_BY_CALLBACK) {
        (void)snprintf(message, message_size, "%s: given up", request->url);
    } else {
        (void)snprintf(message, message_size, "%s: %s",
                       request->unix_socket ? request->unix_socket : request->url,
                       reason[0] ? reason : curl_easy_strerror(code));
    }
}

int fetch(const struct fetch_request *request, struct fetch_answer *answer, char *message,
          size_t message_size)
{
    struct transfer transfer = {.request = request, .answer = answer};
    char reason[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();

    *answer = (struct fetch_answer){.max_age_s = UINT32_MAX};
    if (!curl || !set_up(curl, &transfer, reason) || !extend(&transfer, 0)) {
        (void)snprintf(message, message_size, "%s: no memory, or the URL is of no use",
                       request->url);
        free(answer->data);
        curl_easy_cleanup(curl);
        return -1;
    }
    answer->data[0] = '\0';
    const CURLcode code = curl_easy_perform(curl);
    if (code == CURLE_OK) {
        (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
    } else {
        tell(&transfer, code, reason, message, message_size);
        free(answer->data);
        answer->data = NULL;
    }
    curl_easy_cleanup(curl);
    return code == CURLE_OK ? 0 : -1;
}
