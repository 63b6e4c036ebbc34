/*
 * stubs.c - two functions that wolfSSL still calls when it is built with session tickets but without a session cache.
 *
 * Each says that the cache holds nothing.
 */
#include <wolfssl/ssl.h>
#include <wolfssl/internal.h>

int TlsSessionCacheGetAndRdLock(const byte *id, const WOLFSSL_SESSION **session, word32 *row, byte side);
void TlsSessionCacheUnlockRow(word32 row);

int TlsSessionCacheGetAndRdLock(const byte *id, const WOLFSSL_SESSION **session, word32 *row, byte side)
{
    (void)id;
    (void)row;
    (void)side;
    *session = NULL;
    return 0;
}

void TlsSessionCacheUnlockRow(word32 row)
{
    (void)row;
}
