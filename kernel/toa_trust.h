/* SPDX-License-Identifier: GPL-2.0-only */
/* Who may send TOA: the parameter `trust`. */
#ifndef TOA_TRUST_H
#define TOA_TRUST_H

#include <linux/types.h>

struct toa_address;

/* May this sender be believed? Without networks every sender is. */
bool toa_trusted(const struct toa_address *source);

/* -EINVAL: the list that the module was loaded with has no end. Without it every sender would be believed. */
int toa_trust_setup(void);

#endif
