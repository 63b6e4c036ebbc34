#include "bench/feed.h"

#include "bench/stamp.h"

#include <math.h>
#include <stdlib.h>

#define FORGIVE_NS  1000000000u /* flat out: what did not come by then is not waited for */
#define POLL_NS     100000u     /* flat out: looks for deliveries this often */
#define BURST_MAX   1024        /* so that whoever publishes does other things between */
#define NS_A_SECOND 1e9

int feed_open(struct feed *feed, const struct feed_options *options)
{
    size_t count = (size_t)options->publishers * options->audience->channels;

    ASSERT(options->messages_max > 0 || options->duration_ns > 0);
    ASSERT(options->window > 0);
    memset(feed, 0, sizeof(*feed));
    feed->options = *options;
    feed->random = options->seed | 1;
    feed->sequences = calloc(count, sizeof(uint32_t));
    return feed->sequences ? 0 : -1;
}

void feed_close(struct feed *feed)
{
    free(feed->sequences);
    feed->sequences = NULL;
}

void feed_start(struct feed *feed, uint64_t now_ns)
{
    feed->start_ns = now_ns;
    feed->received_ns = now_ns;
}

static uint64_t due_ns(const struct feed *feed, uint64_t index)
{
    return feed->start_ns + (uint64_t)((double)index / feed->options.rate * NS_A_SECOND);
}

/* By the rate: the messages whose time has come. */
static uint64_t due_by_rate(const struct feed *feed, uint64_t now_ns, uint64_t published)
{
    double due = (double)(now_ns - feed->start_ns) / NS_A_SECOND * feed->options.rate;

    return (uint64_t)due + 1 > published ? (uint64_t)due + 1 - published : 0;
}

/* Flat out: the window less what is under way, rounded up to messages. */
static uint64_t due_by_window(struct feed *feed, uint64_t now_ns, uint64_t received)
{
    uint64_t expected = counter_read(&feed->expected);
    uint64_t published = counter_read(&feed->published);

    if (received != feed->received) {
        feed->received = received;
        feed->received_ns = now_ns;
    } else if (now_ns - feed->received_ns > FORGIVE_NS) {
        feed->forgiven = expected > received ? expected - received : 0;
        feed->received_ns = now_ns;
    }
    uint64_t missing =
        expected > received + feed->forgiven ? expected - received - feed->forgiven : 0;
    double each = published == 0 ? 1 : (double)expected / (double)published;
    uint64_t under_way = each > 0 ? (uint64_t)ceil((double)missing / each) : 0;
    return under_way < feed->options.window ? feed->options.window - under_way : 0;
}

uint32_t feed_due(struct feed *feed, uint64_t now_ns, uint64_t received)
{
    const struct feed_options *options = &feed->options;
    uint64_t published = counter_read(&feed->published);

    if ((options->messages_max > 0 && published >= options->messages_max) ||
        (options->duration_ns > 0 && now_ns >= feed->start_ns + options->duration_ns)) {
        counter_set(&feed->is_done, 1);
        return 0;
    }
    uint64_t due = options->rate > 0 ? due_by_rate(feed, now_ns, published)
                                     : due_by_window(feed, now_ns, received);
    if (options->messages_max > 0 && due > options->messages_max - published) {
        due = options->messages_max - published;
    }
    return due > BURST_MAX ? BURST_MAX : (uint32_t)due;
}

uint64_t feed_wait_ns(const struct feed *feed, uint64_t now_ns)
{
    if (feed->options.rate == 0) {
        return POLL_NS;
    }
    uint64_t next_ns = due_ns(feed, counter_read(&feed->published));
    return next_ns > now_ns ? next_ns - now_ns : 0;
}

/* xorshift64: the same channels in every run of a seed. */
uint32_t feed_channel(struct feed *feed)
{
    feed->random ^= feed->random << 13;
    feed->random ^= feed->random >> 7;
    feed->random ^= feed->random << 17;
    return (uint32_t)((feed->random >> 11) % feed->options.audience->channels);
}

/* With a rate the stamp is the time that the message was due: a publisher that is held up does not
 * hide it. */
void feed_next(struct feed *feed, uint64_t now_ns, uint32_t publisher, uint32_t channel,
               uint8_t *out)
{
    const struct feed_options *options = &feed->options;

    ASSERT(publisher < options->publishers);
    ASSERT(channel < options->audience->channels);
    size_t place = (size_t)publisher * options->audience->channels + channel;
    const struct stamp stamp = {
        .channel = channel,
        .publisher = (uint16_t)publisher,
        .sequence = ++feed->sequences[place],
        .time_ns = options->rate > 0 ? due_ns(feed, counter_read(&feed->published)) : now_ns,
    };
    stamp_write(&stamp, out, options->size);
    counter_add(&feed->expected, audience_size(options->audience, channel));
    counter_add(&feed->published, 1);
}

void feed_refuse(struct feed *feed, uint32_t channel)
{
    uint64_t size = audience_size(feed->options.audience, channel);

    counter_set(&feed->expected, counter_read(&feed->expected) - size);
    counter_add(&feed->refused, 1);
}
