/*
 * user_settings.h - how wolfSSL is built for Limpet: a TLS 1.2/1.3 server over memory buffers, with AES-NI and the
 * single-precision assembly, without a session cache, and with every secret readable by core/tls.
 *
 * wolfSSL's assembly files include this file too: only preprocessor lines outside the block that is guarded below.
 */
#pragma once

#include <wolfssl/version.h>

/* Platform. */
#define HAVE_PTHREAD
#define HAVE_SYS_TIME_H
#define HAVE_GMTIME_R
#define HAVE_THREAD_LS
#define HAVE___UINT128_T 1
#define SIZEOF_LONG 8
#define SIZEOF_LONG_LONG 8
#define WOLFSSL_USE_ALIGN
#ifndef WOLFSSL_X86_64_BUILD
#define WOLFSSL_X86_64_BUILD
#endif

/* Speed: a third of the CPU time of Debian's own build for a handshake, an eighth for a short record. */
#define USE_INTEL_SPEEDUP
#define WOLFSSL_AESNI
#define WOLFSSL_SP_MATH_ALL
#define WOLFSSL_SP_X86_64
#define WOLFSSL_SP_ASM
#define WOLFSSL_SP_X86_64_ASM
#define WOLFSSL_HAVE_SP_RSA
#define WOLFSSL_HAVE_SP_ECC

/*
 * Protocol. Not here, on purpose:
 * HAVE_ALPN: in 5.7.2 its list check reads past a heap block before authentication, and a WebSocket server needs none;
 * WOLFSSL_EARLY_DATA: tickets would then invite data that arrives before the client has proven its key;
 * WOLFSSL_VALIDATE_ECC_IMPORT: doubles the cost of every handshake, for keys that are used once.
 */
#define WOLFSSL_TLS13
#define NO_OLD_TLS
#define HAVE_TLS_EXTENSIONS
#define HAVE_SUPPORTED_CURVES
#define HAVE_EXTENDED_MASTER
#define HAVE_SERVER_RENEGOTIATION_INFO
#define HAVE_FALLBACK_SCSV
#define HAVE_SNI
#define HAVE_SESSION_TICKET
#define NO_SESSION_CACHE
#define WOLFSSL_AEAD_ONLY

/* The keys leave wolfSSL through these two: the handshake ends, the keys stay. */
#define ATOMIC_USER
#define HAVE_SECRET_CALLBACK

/*
 * Tickets of other servers, up to 2 KB, make a full handshake instead of an aborted one. A ticket lives for an hour;
 * without a session cache only this macro sets the life that is checked.
 */
#define WOLFSSL_TICKET_EXTRA_PADDING_SZ 2048
#define MAX_PSK_ID_LEN 2048
#define WOLFSSL_SESSION_TIMEOUT 3600

/* Algorithms. */
#define HAVE_AESGCM
#define GCM_WORD32
#define HAVE_AEAD
#define HAVE_CHACHA
#define HAVE_POLY1305
#define HAVE_ONE_TIME_AUTH
#define HAVE_HKDF
#define WC_RSA_PSS
#define WC_RSA_BLINDING
#define HAVE_ECC
#define ECC_TIMING_RESISTANT
#define ECC_SHAMIR
#define TFM_TIMING_RESISTANT
#define HAVE_CURVE25519
#define WOLFSSL_SHA384
#define WOLFSSL_SHA512
#define NO_DES3
#define NO_DES3_TLS_SUITES
#define NO_MD5
#define NO_MD4
#define NO_RC4
#define NO_DSA
#define NO_DH
#define NO_PSK
#define NO_PWDBASED
#define NO_PKCS12

/* The hybrid group X25519MLKEM768 needs 5.9 or newer. */
#if LIBWOLFSSL_VERSION_HEX >= 0x05009000
#define WOLFSSL_HAVE_MLKEM
#define WOLFSSL_PQC_HYBRIDS
#define WOLFSSL_TLS_NO_MLKEM_STANDALONE
#define WOLFSSL_SHA3
#define WOLFSSL_SHAKE128
#define WOLFSSL_SHAKE256
#define WOLFSSL_NO_ML_KEM_512
#define WOLFSSL_NO_ML_KEM_1024
#endif

/* Random bytes come from core/tls, which draws them from the kernel a page at a time. */
#define WC_NO_HASHDRBG
#define CUSTOM_RAND_GENERATE_BLOCK tls_random
#ifndef __ASSEMBLER__
int tls_random(unsigned char *output, unsigned int size);
#endif
