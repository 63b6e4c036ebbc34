/* The hook by which wolfSSL draws its random bytes (cmake/wolfssl/user_settings.h). */
#include "base/random.h"

#include <wolfssl/wolfcrypt/settings.h>

int tls_random(unsigned char *output, unsigned int size)
{
    random_bytes(output, size);
    return 0;
}
