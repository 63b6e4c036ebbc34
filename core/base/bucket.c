#include "base/bucket.h"

#define NS_PER_S 1e9

/* Sums of many small pieces stay a little below what they should be: less than a token of a day. */
#define ALMOST_ONE (1 - 1e-6)

static void fill(struct bucket *bucket, const struct bucket_rate *rate, uint64_t now_ns)
{
    const double most = rate->burst > 1 ? rate->burst : 1;

    if (!bucket->is_open) {
        *bucket = (struct bucket){.level = most, .filled_ns = now_ns, .is_open = true};
    }
    if (now_ns > bucket->filled_ns) {
        bucket->level += (double)(now_ns - bucket->filled_ns) / NS_PER_S * rate->per_s;
        bucket->filled_ns = now_ns;
    }
    if (bucket->level > most) {
        bucket->level = most;
    }
}

bool bucket_take(struct bucket *bucket, const struct bucket_rate *rate, uint64_t now_ns)
{
    fill(bucket, rate, now_ns);
    if (rate->per_s <= 0) {
        return true;
    }
    if (bucket->level < ALMOST_ONE) {
        return false;
    }
    bucket->level -= bucket->level < 1 ? bucket->level : 1;
    return true;
}

uint64_t bucket_wait_ns(struct bucket *bucket, const struct bucket_rate *rate, uint64_t now_ns)
{
    fill(bucket, rate, now_ns);
    if (rate->per_s <= 0 || bucket->level >= ALMOST_ONE) {
        return 0;
    }
    return (uint64_t)((1 - bucket->level) / rate->per_s * NS_PER_S);
}
