/* SPDX-License-Identifier: GPL-2.0-only */
/* The memory of the connections' objects: a real-time kernel must not allocate where hooks run. */
#ifndef TOA_POOL_H
#define TOA_POOL_H

struct toa_connection;

int toa_pool_setup(void);

/* Waits until all objects are freed that toa_pool_free() was called for. */
void toa_pool_teardown(void);

/* Returns NULL if there are none left. The object is not cleared. */
struct toa_connection *toa_pool_alloc(void);

/* Frees the object when its last reader under RCU has finished. */
void toa_pool_free(struct toa_connection *connection);

#endif
