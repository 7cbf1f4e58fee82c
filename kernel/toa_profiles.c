// SPDX-License-Identifier: GPL-2.0-only
/* The parameter `profiles`. The checks are those of daemon/config/profiles.ts. */
#define pr_fmt(fmt) "TOA: profiles: " fmt

#include <linux/ctype.h>
#include <linux/err.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/string.h>
#include "toa_profiles.h"
#include "toa_syn.h"

#define DEFAULT "nat64,toa6,toa4"
#define FIRST_OWN_ID 8
#define FIELDS_MIN 5
#define FIELDS_MAX 7
#define OPTION_MIN 6
#define PRIORITY_MAX 100
#define ALL_USES (TOA_USE_SOCKOPT | TOA_USE_PEERNAME)

static struct toa_profiles __rcu *now;

struct named {
	const char *name;
	struct toa_profile profile;
};

/* Ids are those of the daemon. The module gives clients alone, never a virtual server. kind, length, family, port at, address at, on the SYN, version, priority, pick, uses, VIP at, VPORT at, VNI at, its form */
static const struct named built_in[] = {
	{ "nat64", { 1, 253, 20, 6, 2, 4, 0, 0, 0, 0, ALL_USES } },
	{ "toa6", { 2, 254, 20, 6, 2, 4, 0, 0, 0, 0, ALL_USES } },
	{ "toa4", { 3, 254, 8, 4, 2, 4, 0, 0, 0, 0, ALL_USES } },
	{ "akamai4", { 4, 253, 8, 4, 2, 4, 0, 0, 0, 0, ALL_USES } },
	{ "tencent", { 5, 200, 8, 4, 2, 4, 0, 0, 0, 0, ALL_USES } },
	{ "cdn4", { 6, 28, 7, 4, TOA_ABSENT, 3, 1, 1, 0, 0, ALL_USES } },
	{ "cdn6", { 7, 28, 19, 6, TOA_ABSENT, 3, 1, 1, 0, 0, ALL_USES } },
	{ "vtoa4", { 24, 252, 20, 4, 2, 4, 0, 0, 0, 0, ALL_USES, 12, 16, 8, TOA_VNI_32_LITTLE } },
	{ "vtoa6", { 25, 249, 40, 6, 2, 4, 0, 0, 0, 0, ALL_USES, 24, TOA_ABSENT, 20, TOA_VNI_24 } },
	{ "vip4", { 26, 250, 8, 4, TOA_ABSENT, TOA_ABSENT, 0, 0, 0, 0, ALL_USES, 4, 2, TOA_ABSENT } },
};

const struct toa_profiles *toa_profiles_now(void)
{
	return rcu_dereference(now);
}

static const struct toa_profile *find_built_in(const char *name)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(built_in); i++)
		if (!strcmp(built_in[i].name, name))
			return &built_in[i].profile;
	return NULL;
}

static bool is_name(const char *text)
{
	const char *at;

	if (!islower(*text) || strlen(text) >= TOA_PROFILE_NAME_SIZE)
		return false;
	for (at = text; *at; at++)
		if (!islower(*at) && !isdigit(*at) && *at != '-' && *at != '_')
			return false;
	return true;
}

static bool read_number(const char *text, u8 least, u8 most, u8 *value)
{
	return isdigit(*text) && !kstrtou8(text, 10, value) && *value >= least && *value <= most;
}

/* MSS, window scale, both SACKs, timestamps: on ordinary segments, and never an address. */
static bool is_kind_of_tcp(u8 kind)
{
	return kind == 2 || kind == 3 || kind == 4 || kind == 5 || kind == 8;
}

static int check_layout(const char *name, const struct toa_profile *profile)
{
	int address_end = profile->address_at + (profile->family == 4 ? 4 : 16);
	int port_end = profile->port_at + 2;

	if (address_end > profile->length) {
		pr_err("%s: no room for the address, bytes %u to %d of an option of %u\n", name,
		       profile->address_at, address_end - 1, profile->length);
		return -EINVAL;
	}
	if (profile->port_at == TOA_ABSENT)
		return 0;
	if (port_end > profile->length) {
		pr_err("%s: no room for the port, bytes %u to %d of an option of %u\n", name,
		       profile->port_at, port_end - 1, profile->length);
		return -EINVAL;
	}
	if (profile->port_at < address_end && profile->address_at < port_end) {
		pr_err("%s: port (bytes %u to %d) and address (%u to %d) overlap\n", name, profile->port_at,
		       port_end - 1, profile->address_at, address_end - 1);
		return -EINVAL;
	}
	return 0;
}

/* NAME:KIND:LENGTH:ipv4|ipv6:ADDRESS_AT[:PORT_AT|-][:syn] */
static int read_own(char *text, struct toa_profile *profile)
{
	char *field[FIELDS_MAX] = {};
	int fields = 0;

	while (text && fields < FIELDS_MAX)
		field[fields++] = strsep(&text, ":");
	if (text || fields < FIELDS_MIN) {
		pr_err("%s: no profile of that name, and an own one is NAME:KIND:LENGTH:ipv4|ipv6:ADDRESS_AT[:PORT_AT|-][:syn]\n",
		       field[0]);
		return -EINVAL;
	}
	if (!is_name(field[0]) || find_built_in(field[0])) {
		pr_err("%s: a name is a lower-case letter, then such letters, digits, - and _, at most 31, and no built-in one\n",
		       field[0]);
		return -EINVAL;
	}
	if (!read_number(field[1], 6, 255, &profile->kind) || is_kind_of_tcp(profile->kind)) {
		pr_err("%s: the kind must be from 9 to 255, or 6 or 7, not %s\n", field[0], field[1]);
		return -EINVAL;
	}
	if (!read_number(field[2], OPTION_MIN, TOA_OPTIONS_MAX, &profile->length)) {
		pr_err("%s: the length must be from %d to %d, not %s\n", field[0], OPTION_MIN,
		       TOA_OPTIONS_MAX, field[2]);
		return -EINVAL;
	}
	if (strcmp(field[3], "ipv4") && strcmp(field[3], "ipv6")) {
		pr_err("%s: the family must be ipv4 or ipv6, not %s\n", field[0], field[3]);
		return -EINVAL;
	}
	profile->family = field[3][3] - '0';
	if (!read_number(field[4], 2, TOA_OPTIONS_MAX - 4, &profile->address_at)) {
		pr_err("%s: the address must be at 2 to %d, not %s\n", field[0], TOA_OPTIONS_MAX - 4,
		       field[4]);
		return -EINVAL;
	}
	profile->port_at = TOA_ABSENT;
	if (fields > 5 && strcmp(field[5], "-") &&
	    !read_number(field[5], 2, TOA_OPTIONS_MAX - 2, &profile->port_at)) {
		pr_err("%s: the port must be at 2 to %d, or - for none, not %s\n", field[0],
		       TOA_OPTIONS_MAX - 2, field[5]);
		return -EINVAL;
	}
	if (fields > 6 && strcmp(field[6], "syn")) {
		pr_err("%s: after the port's place comes syn, or nothing, not %s\n", field[0], field[6]);
		return -EINVAL;
	}
	profile->on_syn = fields > 6;
	profile->uses = ALL_USES;
	return check_layout(field[0], profile);
}

/* Behind a profile: /priority=N and /pick=first|last. */
static int read_rules(const char *name, char *text, struct toa_profile *profile)
{
	char *rule;

	while ((rule = strsep(&text, "/"))) {
		if (!strncmp(rule, "priority=", 9) &&
		    read_number(rule + 9, 0, PRIORITY_MAX, &profile->priority))
			continue;
		if (!strcmp(rule, "pick=first")) {
			profile->pick = TOA_PICK_FIRST;
		} else if (!strcmp(rule, "pick=last")) {
			profile->pick = TOA_PICK_LAST;
		} else {
			pr_err("%s: a rule is priority=0 to %d, pick=first or pick=last, not %s\n", name,
			       PRIORITY_MAX, rule);
			return -EINVAL;
		}
	}
	return 0;
}

static int enter(struct toa_profiles *profiles, const char *name, const struct toa_profile *profile)
{
	struct toa_table *table = &profiles->table;
	u8 *slot = &table->slot[profile->kind * TOA_LIST_SIZE + profile->length];
	int i;

	for (i = 1; i <= profiles->count; i++) {
		if (!strcmp(profiles->name[i], name)) {
			pr_err("%s is named twice\n", name);
			return -EINVAL;
		}
	}
	if (*slot) {
		pr_err("%s and %s are both of kind %u and length %u\n", profiles->name[*slot], name,
		       profile->kind, profile->length);
		return -EINVAL;
	}
	if (profiles->count == TOA_PROFILES_MAX) {
		pr_err("more than %d\n", TOA_PROFILES_MAX);
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

static int read_profiles(char *text, struct toa_profiles *profiles)
{
	u8 next_id = FIRST_OWN_ID;
	char *word;

	while ((word = strsep(&text, ","))) {
		const struct toa_profile *known;
		struct toa_profile profile = {};
		char *rules = strim(word), *name;
		int failed;

		name = strsep(&rules, "/");
		known = find_built_in(name);
		if (known) {
			profile = *known;
		} else {
			failed = read_own(name, &profile);
			if (failed)
				return failed;
			profile.id = next_id++;
		}
		failed = read_rules(name, rules, &profile);
		if (!failed)
			failed = enter(profiles, name, &profile);
		if (failed)
			return failed;
	}
	return 0;
}

static int set_profiles(const char *value, const struct kernel_param *unused)
{
	struct toa_profiles *profiles, *before;
	char *text;
	int failed;

	profiles = kvzalloc(sizeof(*profiles), GFP_KERNEL);
	text = kstrdup(value, GFP_KERNEL);
	failed = profiles && text ? read_profiles(text, profiles) : -ENOMEM;
	kfree(text);
	if (!failed && profiles->read_syn)
		failed = toa_syn_setup();
	if (failed) {
		kvfree(profiles);
		return failed;
	}
	/* the kernel lets one writer in at a time */
	before = rcu_replace_pointer(now, profiles, true);
	if (before) {
		synchronize_rcu();
		kvfree(before);
	}
	return 0;
}

static bool is_own(const struct toa_profile *profile)
{
	return profile->id >= FIRST_OWN_ID && profile->id < FIRST_OWN_ID + TOA_PROFILES_MAX;
}

static int put_layout(char *to, size_t size, const char *name, const struct toa_profile *profile)
{
	char port[4] = "-";

	if (!is_own(profile))
		return scnprintf(to, size, "%s", name);
	if (profile->port_at != TOA_ABSENT)
		snprintf(port, sizeof(port), "%u", profile->port_at);
	return scnprintf(to, size, "%s:%u:%u:ipv%u:%u:%s%s", name, profile->kind, profile->length,
			 profile->family, profile->address_at, port, profile->on_syn ? ":syn" : "");
}

static int put_profile(char *to, size_t size, const char *name, const struct toa_profile *profile)
{
	int length = put_layout(to, size, name, profile);

	if (profile->priority)
		length += scnprintf(to + length, size - length, "/priority=%u", profile->priority);
	if (profile->pick)
		length += scnprintf(to + length, size - length, "/pick=%s",
				    profile->pick == TOA_PICK_LAST ? "last" : "first");
	return length;
}

/* As it may be written. 16 of the longest fit into a page. */
static int get_profiles(char *to, const struct kernel_param *unused)
{
	const struct toa_profiles *profiles;
	int length = 0, i;

	rcu_read_lock();
	profiles = toa_profiles_now();
	for (i = 1; profiles && i <= profiles->count; i++) {
		if (i > 1)
			length += scnprintf(to + length, PAGE_SIZE - length, ",");
		length += put_profile(to + length, PAGE_SIZE - length, profiles->name[i],
				      &profiles->table.profile[i]);
	}
	rcu_read_unlock();
	return length + scnprintf(to + length, PAGE_SIZE - length, "\n");
}

/* The module's end, also when it did not get as far as its beginning. */
static void free_profiles(void *unused)
{
	toa_syn_teardown();
	kvfree(rcu_replace_pointer(now, NULL, true));
}

static const struct kernel_param_ops profiles_ops = {
	.set = set_profiles,
	.get = get_profiles,
	.free = free_profiles,
};

module_param_cb(profiles, &profiles_ops, NULL, 0644);
MODULE_PARM_DESC(
	profiles,
	"Layouts of the option, at most 16, with commas (" DEFAULT
	"). Known: nat64, toa6, toa4, akamai4, tencent, cdn4, cdn6, vtoa4, vtoa6, vip4; an own one is NAME:KIND:LENGTH:ipv4|ipv6:ADDRESS_AT[:PORT_AT|-][:syn]. Behind each may stand /priority=N and /pick=first|last.");

int toa_profiles_setup(void)
{
	return rcu_access_pointer(now) ? 0 : set_profiles(DEFAULT, NULL);
}
