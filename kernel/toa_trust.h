/* SPDX-License-Identifier: GPL-2.0-only */
/* The networks that may send TOA: the parameter `trust`. */
#ifndef TOA_TRUST_H
#define TOA_TRUST_H

#include <linux/types.h>

struct toa_address;

/* Returns whether this sender is trusted. Without networks, every sender is. */
bool toa_trusted(const struct toa_address *source);

/*
 * Returns -EINVAL if the list that the module was loaded with is incomplete: without this, every
 * sender would be trusted.
 */
int toa_trust_check_complete(void);

#endif
