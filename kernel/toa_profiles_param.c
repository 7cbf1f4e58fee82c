// SPDX-License-Identifier: GPL-2.0-only
/* Parses and shows the parameter `profiles`. The checks are those of daemon/config/profiles.ts. */
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
#include "toa_profiles_param.h"
#include "toa_syn.h"

#define DEFAULT "nat64,toa6,toa4"
#define FIRST_CUSTOM_ID 8
#define FIELDS_MIN 5
#define FIELDS_MAX 7
#define OPTION_MIN 6
#define PRIORITY_MAX 100

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

static bool parse_number(const char *text, u8 least, u8 most, u8 *value)
{
	return isdigit(*text) && !kstrtou8(text, 10, value) && *value >= least && *value <= most;
}

/* MSS, window scale, both SACK kinds, timestamps: on ordinary segments, and never an address. */
static bool is_core_tcp_kind(u8 kind)
{
	return kind == 2 || kind == 3 || kind == 4 || kind == 5 || kind == 8;
}

static int check_layout(const char *name, const struct toa_profile *profile)
{
	int address_end = profile->address_at + (profile->family == 4 ? 4 : 16);
	int port_end = profile->port_at + 2;

	if (address_end > profile->length) {
		pr_err("%s: the address (bytes %u to %d) exceeds the option's length of %u\n", name,
		       profile->address_at, address_end - 1, profile->length);
		return -EINVAL;
	}
	if (profile->port_at == TOA_ABSENT)
		return 0;
	if (port_end > profile->length) {
		pr_err("%s: the port (bytes %u to %d) exceeds the option's length of %u\n", name,
		       profile->port_at, port_end - 1, profile->length);
		return -EINVAL;
	}
	if (profile->port_at < address_end && profile->address_at < port_end) {
		pr_err("%s: the port (bytes %u to %d) and the address (bytes %u to %d) overlap\n", name,
		       profile->port_at, port_end - 1, profile->address_at, address_end - 1);
		return -EINVAL;
	}
	return 0;
}

/* NAME:KIND:LENGTH:ipv4|ipv6:ADDRESS_AT[:PORT_AT|-][:syn] */
static int parse_custom(char *text, struct toa_profile *profile)
{
	char *field[FIELDS_MAX] = {};
	int fields = 0;

	while (text && fields < FIELDS_MAX)
		field[fields++] = strsep(&text, ":");
	if (text || fields < FIELDS_MIN) {
		pr_err("%s: unknown profile; a custom profile has the form NAME:KIND:LENGTH:ipv4|ipv6:ADDRESS_AT[:PORT_AT|-][:syn]\n",
		       field[0]);
		return -EINVAL;
	}
	if (!is_name(field[0]) || toa_profiles_find_built_in(field[0])) {
		pr_err("%s: a name starts with a lower-case letter, continues with lower-case letters, digits, - and _, has at most 31 characters, and is not that of a built-in profile\n",
		       field[0]);
		return -EINVAL;
	}
	if (!parse_number(field[1], 6, 255, &profile->kind) || is_core_tcp_kind(profile->kind)) {
		pr_err("%s: the kind must be 6, 7, or from 9 to 255, not %s\n", field[0], field[1]);
		return -EINVAL;
	}
	if (!parse_number(field[2], OPTION_MIN, TOA_OPTIONS_MAX, &profile->length)) {
		pr_err("%s: the length must be from %d to %d, not %s\n", field[0], OPTION_MIN,
		       TOA_OPTIONS_MAX, field[2]);
		return -EINVAL;
	}
	if (strcmp(field[3], "ipv4") && strcmp(field[3], "ipv6")) {
		pr_err("%s: the family must be ipv4 or ipv6, not %s\n", field[0], field[3]);
		return -EINVAL;
	}
	profile->family = field[3][3] - '0';
	if (!parse_number(field[4], 2, TOA_OPTIONS_MAX - 4, &profile->address_at)) {
		pr_err("%s: ADDRESS_AT must be from 2 to %d, not %s\n", field[0], TOA_OPTIONS_MAX - 4,
		       field[4]);
		return -EINVAL;
	}
	profile->port_at = TOA_ABSENT;
	if (fields > 5 && strcmp(field[5], "-") &&
	    !parse_number(field[5], 2, TOA_OPTIONS_MAX - 2, &profile->port_at)) {
		pr_err("%s: PORT_AT must be from 2 to %d, or - for none, not %s\n", field[0],
		       TOA_OPTIONS_MAX - 2, field[5]);
		return -EINVAL;
	}
	if (fields > 6 && strcmp(field[6], "syn")) {
		pr_err("%s: the last field must be syn if it is present, not %s\n", field[0], field[6]);
		return -EINVAL;
	}
	profile->on_syn = fields > 6;
	profile->uses = TOA_ALL_USES;
	return check_layout(field[0], profile);
}

/* Parses what follows a profile: /priority=N and /pick=first|last. */
static int parse_rules(const char *name, char *text, struct toa_profile *profile)
{
	char *rule;

	while ((rule = strsep(&text, "/"))) {
		if (!strncmp(rule, "priority=", 9) &&
		    parse_number(rule + 9, 0, PRIORITY_MAX, &profile->priority))
			continue;
		if (!strcmp(rule, "pick=first")) {
			profile->pick = TOA_PICK_FIRST;
		} else if (!strcmp(rule, "pick=last")) {
			profile->pick = TOA_PICK_LAST;
		} else {
			pr_err("%s: a rule must be priority=0 to %d, pick=first or pick=last, not %s\n", name,
			       PRIORITY_MAX, rule);
			return -EINVAL;
		}
	}
	return 0;
}

static int parse_profiles(char *text, struct toa_profiles *profiles)
{
	u8 next_id = FIRST_CUSTOM_ID;
	char *item;

	while ((item = strsep(&text, ","))) {
		const struct toa_profile *known;
		struct toa_profile profile = {};
		char *rules = strim(item), *name;
		int err;

		name = strsep(&rules, "/");
		known = toa_profiles_find_built_in(name);
		if (known) {
			profile = *known;
		} else {
			err = parse_custom(name, &profile);
			if (err)
				return err;
			profile.id = next_id++;
		}
		err = parse_rules(name, rules, &profile);
		if (!err)
			err = toa_profiles_add(profiles, name, &profile);
		if (err)
			return err;
	}
	return 0;
}

static int set_profiles(const char *value, const struct kernel_param *unused)
{
	struct toa_profiles *profiles;
	char *text;
	int err;

	profiles = kvzalloc(sizeof(*profiles), GFP_KERNEL);
	text = kstrdup(value, GFP_KERNEL);
	err = profiles && text ? parse_profiles(text, profiles) : -ENOMEM;
	kfree(text);
	if (!err && profiles->read_syn)
		err = toa_syn_setup();
	if (err) {
		kvfree(profiles);
		return err;
	}
	toa_profiles_replace(profiles);
	return 0;
}

static bool is_custom(const struct toa_profile *profile)
{
	return profile->id >= FIRST_CUSTOM_ID && profile->id < FIRST_CUSTOM_ID + TOA_PROFILES_MAX;
}

static int put_layout(char *to, size_t size, const char *name, const struct toa_profile *profile)
{
	char port[4] = "-";

	if (!is_custom(profile))
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

/* Shows the parameter as it can be written. 16 of the longest profiles fit into a page. */
static int get_profiles(char *to, const struct kernel_param *unused)
{
	const struct toa_profiles *profiles;
	int length = 0, i;

	rcu_read_lock();
	profiles = toa_profiles_active();
	for (i = 1; profiles && i <= profiles->count; i++) {
		if (i > 1)
			length += scnprintf(to + length, PAGE_SIZE - length, ",");
		length += put_profile(to + length, PAGE_SIZE - length, profiles->name[i],
				      &profiles->table.profile[i]);
	}
	rcu_read_unlock();
	return length + scnprintf(to + length, PAGE_SIZE - length, "\n");
}

/* Runs when the module is removed, and also if its initialization was never reached. */
static void free_profiles(void *unused)
{
	toa_syn_teardown();
	toa_profiles_replace(NULL);
}

static const struct kernel_param_ops profiles_ops = {
	.set = set_profiles,
	.get = get_profiles,
	.free = free_profiles,
};

module_param_cb(profiles, &profiles_ops, NULL, 0644);
MODULE_PARM_DESC(
	profiles,
	"Layouts of the option, at most 16, separated by commas (default: " DEFAULT
	"). Each is a name that modinfo -F toa_profile lists, or a custom profile, NAME:KIND:LENGTH:ipv4|ipv6:ADDRESS_AT[:PORT_AT|-][:syn], and can be followed by /priority=N and /pick=first|last.");

int toa_profiles_param_setup(void)
{
	return toa_profiles_are_set() ? 0 : set_profiles(DEFAULT, NULL);
}
