/* SPDX-License-Identifier: GPL-2.0-only */
/* The active profiles, in the form that the parser requires. */
#ifndef TOA_PROFILES_H
#define TOA_PROFILES_H

#include <linux/types.h>
#include "toa_option.h"

#define TOA_PROFILE_NAME_SIZE 32
#define TOA_ALL_USES (TOA_USE_SOCKOPT | TOA_USE_PEERNAME)

struct toa_profiles {
	u8 count;      /* they are in table.profile[], from index 1 on */
	bool read_syn; /* one of them is looked for on the SYN */
	char name[TOA_PROFILES_MAX + 1][TOA_PROFILE_NAME_SIZE];
	struct toa_table table;
};

/* The caller holds the RCU read lock. NULL: none are set yet. */
const struct toa_profiles *toa_profiles_active(void);

/* Returns NULL if no built-in profile has this name. */
const struct toa_profile *toa_profiles_find_built_in(const char *name);

/*
 * Adds a profile to a set that is not active yet. -EINVAL: the set is full, has the profile
 * already, or has one that collides with it.
 */
int toa_profiles_add(struct toa_profiles *profiles, const char *name, const struct toa_profile *profile);

/* Activates this set of profiles (NULL: none), and frees the previous one. */
void toa_profiles_replace(struct toa_profiles *profiles);

bool toa_profiles_are_set(void);

#endif
