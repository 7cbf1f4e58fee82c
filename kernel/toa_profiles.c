// SPDX-License-Identifier: GPL-2.0-only
/* The active profiles, and those that are known by name. */
#define pr_fmt(fmt) "TOA: profiles: " fmt

#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/string.h>
#include "toa_profiles.h"

static struct toa_profiles __rcu *active_profiles;

struct named {
	const char *name;
	struct toa_profile profile;
};

/* The module provides only clients, never a virtual server. */
static const struct named built_in[] = {
#define TOA_PROFILE(name, id, kind, length, family, port_at, address_at, on_syn, version, vip_at, vport_at, \
		    vni_at, vni_form, source)                                                               \
	{ name,                                                                                             \
	  { id, kind, length, family, port_at, address_at, on_syn, version, 0, 0, TOA_ALL_USES, vip_at,     \
	    vport_at, vni_at, vni_form } },
#include "toa_profiles.def"
#undef TOA_PROFILE
};

#define TOA_PROFILE(name, ...) MODULE_INFO(toa_profile, name);
#include "toa_profiles.def"
#undef TOA_PROFILE

const struct toa_profiles *toa_profiles_active(void)
{
	return rcu_dereference(active_profiles);
}

const struct toa_profile *toa_profiles_find_built_in(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(built_in); i++)
		if (!strcmp(built_in[i].name, name))
			return &built_in[i].profile;
	return NULL;
}

int toa_profiles_add(struct toa_profiles *profiles, const char *name, const struct toa_profile *profile)
{
	struct toa_table *table = &profiles->table;
	u8 *slot = &table->slot[profile->kind * TOA_LIST_SIZE + profile->length];
	int i;

	for (i = 1; i <= profiles->count; i++) {
		if (!strcmp(profiles->name[i], name)) {
			pr_err("%s is listed twice\n", name);
			return -EINVAL;
		}
	}
	if (*slot) {
		pr_err("%s and %s both have kind %u and length %u\n", profiles->name[*slot], name,
		       profile->kind, profile->length);
		return -EINVAL;
	}
	if (profiles->count == TOA_PROFILES_MAX) {
		pr_err("at most %d profiles can be active\n", TOA_PROFILES_MAX);
		return -EINVAL;
	}
	*slot = ++profiles->count;
	table->profile[*slot] = *profile;
	table->priority[profile->id] = profile->priority;
	table->pick[profile->id] = profile->pick;
	table->uses[profile->id] = profile->uses;
	strscpy(profiles->name[*slot], name, TOA_PROFILE_NAME_SIZE);
	profiles->read_syn |= profile->on_syn;
	return 0;
}

void toa_profiles_replace(struct toa_profiles *profiles)
{
	/* the kernel runs one writer of a parameter at a time */
	struct toa_profiles *before = rcu_replace_pointer(active_profiles, profiles, true);

	if (!before)
		return;
	synchronize_rcu();
	kvfree(before);
}

bool toa_profiles_are_set(void)
{
	return rcu_access_pointer(active_profiles);
}
