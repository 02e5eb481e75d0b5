/* SHA-256 (FIPS 180-4): names cached objects by content and gives a patch its id. */
#ifndef MOLT_PATCH_HASH_H
#define MOLT_PATCH_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash {
    uint32_t state[8];
    uint64_t length; /* bytes so far */
    uint8_t block[64];
};

#define HASH_HEX 65 /* characters of a digest in hexadecimal, NUL included */

void hash_init(struct hash *hash);
void hash_add(struct hash *hash, const void *bytes, size_t size);

/* Adds STRING with its NUL, so that neighbours do not run together. */
void hash_add_string(struct hash *hash, const char *string);

/* The digest; HASH is used up. */
void hash_end(struct hash *hash, char ret_hex[HASH_HEX]);

#endif
