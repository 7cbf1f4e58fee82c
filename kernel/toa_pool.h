/* SPDX-License-Identifier: GPL-2.0-only */
/* The memory of the connections' objects: where hooks run, a real-time kernel may not allocate. */
#ifndef TOA_POOL_H
#define TOA_POOL_H

struct toa_connection;

int toa_pool_setup(void);

/* Waits until all that was given is free. */
void toa_pool_teardown(void);

/* NULL: none left. The bytes are not cleared. */
struct toa_connection *toa_pool_take(void);

/* Free when its last reader under RCU has gone. */
void toa_pool_give(struct toa_connection *connection);

#endif
