/* SPDX-License-Identifier: GPL-2.0-only */
/* The profiles in force: the parameter `profiles`, as the parser wants it. */
#ifndef TOA_PROFILES_H
#define TOA_PROFILES_H

#include <linux/types.h>
#include "toa_option.h"

#define TOA_PROFILE_NAME_SIZE 32

struct toa_profiles {
	u8 count;      /* they stand in table.profile[1] and on */
	bool read_syn; /* one of them is looked for on the SYN */
	char name[TOA_PROFILES_MAX + 1][TOA_PROFILE_NAME_SIZE];
	struct toa_table table;
};

/* Under the RCU read lock. NULL: none are set yet. */
const struct toa_profiles *toa_profiles_now(void);

/* Takes the default where the parameter was not given. */
int toa_profiles_setup(void);

#endif
