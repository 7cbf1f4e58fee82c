// SPDX-License-Identifier: GPL-2.0-only
/*
 * The parameter `trust`: a sorted array of networks that is searched by bisection. A sysfs write
 * holds at most one page, so a longer list is written in parts.
 */
#define pr_fmt(fmt) "TOA: trust: " fmt

#include <linux/ctype.h>
#include <linux/inet.h>
#include <linux/kernel.h>
#include <linux/mm.h>
#include <linux/moduleparam.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/sort.h>
#include <linux/string.h>
#include <net/ipv6.h>
#include "toa_segment.h"
#include "toa_trust.h"

/* "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255/128", and room for an invalid text */
#define TEXT_SIZE 64
#define MORE_SIZE 32 /* "... and 4294967295 more\n" */

struct network {
	struct toa_address address;
	u8 length;
};

struct networks {
	u32 count;
	struct network network[];
};

static struct networks __rcu *active_networks;

/* The first parts of an incomplete list, not active. The kernel runs one writer at a time. */
static struct networks *unfinished;

static int compare_address(const struct toa_address *a, const struct toa_address *b)
{
	return a->family != b->family ? a->family - b->family : memcmp(a->bytes, b->bytes, sizeof(a->bytes));
}

static int compare_network(const void *a, const void *b)
{
	const struct network *x = a, *y = b;
	int order = compare_address(&x->address, &y->address);

	return order ? order : x->length - y->length;
}

static bool network_contains(const struct network *network, const struct toa_address *address)
{
	u8 bytes = network->length / 8, bits = network->length % 8;

	if (network->address.family != address->family ||
	    memcmp(network->address.bytes, address->bytes, bytes))
		return false;
	return !bits || !((network->address.bytes[bytes] ^ address->bytes[bytes]) >> (8 - bits));
}

bool toa_trusted(const struct toa_address *source)
{
	const struct networks *networks;
	bool trusted = true;

	rcu_read_lock();
	networks = rcu_dereference(active_networks);
	if (networks && networks->count) {
		u32 low = 0, high = networks->count;

		/* the last network that begins at or before the address: none contains another */
		while (low < high) {
			u32 middle = low + (high - low) / 2;

			if (compare_address(&networks->network[middle].address, source) <= 0)
				low = middle + 1;
			else
				high = middle;
		}
		trusted = low && network_contains(&networks->network[low - 1], source);
	}
	rcu_read_unlock();
	return trusted;
}

/* The spelling must be the usual one: 010.0.0.0 is a typing error. */
static bool parse_ipv4(const char *text, u8 *bytes)
{
	char usual[sizeof("255.255.255.255")];

	if (!in4_pton(text, -1, bytes, -1, NULL))
		return false;
	snprintf(usual, sizeof(usual), "%pI4", bytes);
	return !strcmp(usual, text);
}

static bool parse_address(const char *text, struct toa_address *address)
{
	memset(address, 0, sizeof(*address));
	address->family = strchr(text, ':') ? 6 : 4;
	return address->family == 4 ? parse_ipv4(text, address->bytes) :
				      in6_pton(text, -1, address->bytes, -1, NULL);
}

static bool has_bits_beyond(const struct network *network)
{
	int bit;

	for (bit = network->length; bit < 128; bit++)
		if (network->address.bytes[bit / 8] & 0x80 >> bit % 8)
			return true;
	return false;
}

static int parse_network(const char *word, struct network *network)
{
	char text[TEXT_SIZE], *length;
	u8 bits;

	if (strscpy(text, word, sizeof(text)) < 0 || !(length = strchr(text, '/'))) {
		pr_err("%.64s: not a network such as 10.0.0.0/8 or 2001:db8::/32\n", word);
		return -EINVAL;
	}
	*length++ = '\0';
	if (!parse_address(text, &network->address)) {
		pr_err("%.64s: not a network such as 10.0.0.0/8 or 2001:db8::/32\n", word);
		return -EINVAL;
	}
	bits = network->address.family == 4 ? 32 : 128;
	if (!isdigit(*length) || kstrtou8(length, 10, &network->length) || network->length > bits) {
		pr_err("%.64s: the prefix length must be from 0 to %u\n", word, bits);
		return -EINVAL;
	}
	if (bits == 128 && network->length >= 96 &&
	    ipv6_addr_v4mapped((const struct in6_addr *)network->address.bytes)) {
		pr_err("%.64s: must be written as IPv4\n", word);
		return -EINVAL;
	}
	if (has_bits_beyond(network)) {
		pr_err("%.64s: has bits set beyond its prefix\n", word);
		return -EINVAL;
	}
	return 0;
}

/* Returns a copy of `from` with room for `more` further networks; NULL if out of memory. */
static struct networks *copy_with_room(const struct networks *from, u32 more)
{
	u32 count = from ? from->count : 0;
	struct networks *networks = kvmalloc(struct_size(networks, network, count + more), GFP_KERNEL);

	if (!networks)
		return NULL;
	networks->count = count;
	if (count)
		memcpy(networks->network, from->network, flex_array_size(networks, network, count));
	return networks;
}

static u32 count_words(const char *text)
{
	u32 words = 1;

	for (; *text; text++)
		words += *text == ',';
	return words;
}

/* Parses the text. `*more`: the text ends with a comma, so a further part follows. */
static int parse_networks(char *text, struct networks *networks, bool *more)
{
	char *word;

	*more = false;
	while ((word = strsep(&text, ","))) {
		int err;

		word = strim(word);
		if (!*word && !text)
			break;
		err = parse_network(word, &networks->network[networks->count]);
		if (err)
			return err;
		networks->count++;
		*more = text && !*skip_spaces(text);
	}
	return 0;
}

/* Sorts the networks, and removes those that another one contains. */
static void normalize(struct networks *networks)
{
	u32 kept = 0, i;

	sort(networks->network, networks->count, sizeof(networks->network[0]), compare_network, NULL);
	for (i = 0; i < networks->count; i++)
		if (!kept || !network_contains(&networks->network[kept - 1], &networks->network[i].address))
			networks->network[kept++] = networks->network[i];
	networks->count = kept;
}

static void free_unfinished(void)
{
	kvfree(unfinished);
	unfinished = NULL;
}

static int set_trust(const char *value, const struct kernel_param *unused)
{
	struct networks *networks, *before;
	char *text;
	bool more;
	int err;

	/* the parts of a writer that was killed in between do not belong to the next list */
	if (*value == ',' && unfinished)
		value++;
	else
		free_unfinished();
	text = kvmalloc(strlen(value) + 1, GFP_KERNEL);
	networks = copy_with_room(unfinished, count_words(value));
	err = text && networks ? 0 : -ENOMEM;
	if (!err)
		err = parse_networks(strcpy(text, value), networks, &more);
	kvfree(text);
	free_unfinished();
	if (err) {
		kvfree(networks);
		return err;
	}
	if (more) {
		unfinished = networks;
		return 0;
	}
	normalize(networks);
	before = rcu_replace_pointer(active_networks, networks, true);
	if (before) {
		synchronize_rcu();
		kvfree(before);
	}
	return 0;
}

/* Shows the list; if it is longer than a page, as much as fits. */
static int get_trust(char *to, const struct kernel_param *unused)
{
	const struct networks *networks;
	int length = 0;
	u32 i;

	rcu_read_lock();
	networks = rcu_dereference(active_networks);
	for (i = 0; networks && i < networks->count; i++) {
		const struct network *network = &networks->network[i];

		if (length > PAGE_SIZE - TEXT_SIZE - MORE_SIZE) {
			length += scnprintf(to + length, PAGE_SIZE - length, " ... and %u more",
					    networks->count - i);
			break;
		}
		length += scnprintf(to + length, PAGE_SIZE - length,
				    network->address.family == 4 ? "%s%pI4/%u" : "%s%pI6c/%u", i ? "," : "",
				    network->address.bytes, network->length);
	}
	rcu_read_unlock();
	return length + scnprintf(to + length, PAGE_SIZE - length, "\n");
}

static void free_trust(void *unused)
{
	free_unfinished();
	kvfree(rcu_replace_pointer(active_networks, NULL, true));
}

static const struct kernel_param_ops trust_ops = {
	.set = set_trust,
	.get = get_trust,
	.free = free_trust,
};

module_param_cb(trust, &trust_ops, NULL, 0644);
MODULE_PARM_DESC(
	trust,
	"Networks that may send TOA, such as 10.0.0.0/8,2001:db8::/32; empty: every sender is trusted. A list longer than a page is written in parts: each part but the last ends with a comma, each part but the first begins with one, and all take effect with the last.");

int toa_trust_check_complete(void)
{
	if (!unfinished)
		return 0;
	pr_err("the list ends with a comma: a network is missing\n");
	return -EINVAL;
}
