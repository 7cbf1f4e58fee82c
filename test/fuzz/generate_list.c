// SPDX-License-Identifier: Apache-2.0
// Random option lists: those that occur on networks, and those that only an attacker would send.
#include <string.h>

#include "generate.h"

#define KIND_EOL 0
#define KIND_NOP 1
#define CLIENTS 2

/* The parameters of one list. */
struct plan {
	/* few clients, so that options agree as well as differ */
	uint8_t address[CLIENTS][16];
	uint16_t port[CLIENTS];
	/* the only profile, of which the list gets as many options as fit; NULL: any profile */
	const struct layout *only;
};

static unsigned room(const struct option_case *tc)
{
	return OPTIONS_MAX - tc->size;
}

/* Appends a byte. Bytes that do not fit are cut off. */
static void put(struct option_case *tc, uint8_t byte)
{
	if (tc->size < OPTIONS_MAX)
		tc->bytes[tc->size++] = byte;
}

/* Appends an option with random bytes, some of which look like options. */
static void put_option(struct option_case *tc, struct random *random, uint8_t kind, uint8_t length)
{
	put(tc, kind);
	put(tc, length);
	for (unsigned i = 2; i < length; i++) {
		const struct layout *layout = &tc->layouts[below(random, tc->layout_count)];

		switch (below(random, 4)) {
		case 0:
			put(tc, layout->kind);
			break;
		case 1:
			put(tc, layout->length);
			break;
		default:
			put(tc, next(random));
		}
	}
}

static void put_tcp_option(struct option_case *tc, struct random *random)
{
	// MSS, window scale, SACK permitted, timestamps, user timeout, MPTCP, Fast Open
	static const uint8_t options[][2] = { { 2, 4 },  { 3, 3 },   { 4, 2 },  { 8, 10 },
					      { 28, 4 }, { 30, 12 }, { 34, 10 } };
	unsigned i = below(random, sizeof(options) / sizeof(*options) + 1);

	if (i == sizeof(options) / sizeof(*options))
		put_option(tc, random, 5, 2 + 8 * (1 + below(random, 4)));
	else
		put_option(tc, random, options[i][0], options[i][1]);
}

static void put_toa(struct option_case *tc, struct random *random, const struct plan *plan)
{
	const struct layout *layout = plan->only ?: &tc->layouts[below(random, tc->layout_count)];
	unsigned start = tc->size, family = layout->family == 6 ? 16 : 4;
	unsigned which = one_in(random, 4), port = plan->port[one_in(random, 6) ? !which : which];
	const uint8_t *address = plan->address[which];
	uint8_t *option = tc->bytes + start;

	put_option(tc, random, layout->kind, layout->length);
	if (tc->size - start < layout->length)
		return;
	if (!layout->address_at)
		return;
	if (family == 4 && address[10] == 0xff && address[11] == 0xff)
		address += 12;
	memcpy(option + layout->address_at, address, family);
	if (layout->version && !one_in(random, 12))
		option[2] = layout->version;
	// a single bit that differs, at any position, makes it another client
	if (one_in(random, 12))
		option[layout->address_at + below(random, family)] ^= 1 << below(random, 8);
	if (layout->port_at < 0)
		return;
	if (one_in(random, 12))
		port ^= 1 << below(random, 16);
	option[layout->port_at] = port >> 8;
	option[layout->port_at + 1] = port & 0xff;
}

/* Appends an option with a profile's kind and another length, or the other way round. */
static void put_near_miss(struct option_case *tc, struct random *random)
{
	const struct layout *layout = &tc->layouts[below(random, tc->layout_count)];

	if (one_in(random, 2))
		put_option(tc, random, layout->kind, 2 + below(random, OPTIONS_MAX - 1));
	else
		put_option(tc, random, any_kind(random), layout->length);
}

static void put_wrong_length(struct option_case *tc, struct random *random)
{
	uint8_t kind = any_kind(random);

	put(tc, kind);
	switch (below(random, 5)) {
	case 0:
		put(tc, 0);
		break;
	case 1:
		put(tc, 1);
		break;
	case 2: // one past the end of a list of 40 bytes
		put(tc, room(tc) + 2);
		break;
	case 3:
		put(tc, 255 - below(random, 200));
		break;
	default: // no length at all, if the list ends here
		break;
	}
}

static void put_anything(struct option_case *tc, struct random *random, const struct plan *plan)
{
	unsigned choice = below(random, 64);

	if (choice < 30 || plan->only)
		put_toa(tc, random, plan);
	else if (choice < 44)
		for (unsigned i = 1 + below(random, one_in(random, 16) ? OPTIONS_MAX : 3); i > 0; i--)
			put(tc, KIND_NOP);
	else if (choice < 53)
		put_tcp_option(tc, random);
	else if (choice < 57)
		put_near_miss(tc, random);
	else if (choice < 61)
		put_option(tc, random, any_kind(random), 2 + below(random, 12));
	else if (choice < 63)
		put(tc, KIND_EOL);
	else
		put_wrong_length(tc, random);
}

static void make_plan(struct plan *plan, const struct option_case *tc, struct random *random)
{
	// these include the identifiers of experiments, and the number next to one
	static const uint16_t ports[] = { 0, 1, 5555, 63881, 63882, 17742, 840, 44224, 58068, 65535 };

	for (unsigned i = 0; i < CLIENTS; i++) {
		for (unsigned j = 0; j < sizeof(plan->address[i]); j++)
			plan->address[i][j] = next(random);
		plan->port[i] = one_in(random, 2) ? ports[below(random, sizeof(ports) / sizeof(*ports))] :
						    next(random);
	}
	// an IPv6 address that consists of the IPv4 one and zeros, so that only the family differs
	if (one_in(random, 4))
		memset(plan->address[0] + 4, 0, 12);
	// an IPv4-mapped address, or nearly one: an IPv6 layout then names an IPv4 client
	if (one_in(random, 4)) {
		uint8_t *address = plan->address[one_in(random, 4)];

		memset(address, 0, 10);
		memset(address + 10, 0xff, 2);
		if (one_in(random, 4))
			address[below(random, 12)] ^= 1 << below(random, 8);
	}
	plan->only = one_in(random, 16) ? &tc->layouts[below(random, tc->layout_count)] : NULL;
}

static void scatter(struct option_case *tc, struct random *random)
{
	for (unsigned i = 1 + below(random, 3); i > 0 && tc->size > 0; i--)
		tc->bytes[below(random, tc->size)] = one_in(random, 2) ? below(random, 4) : next(random);
}

void generate_list(struct option_case *tc, struct random *random)
{
	unsigned wanted = one_in(random, 3) ? OPTIONS_MAX : below(random, OPTIONS_MAX + 1);
	struct plan plan;

	tc->size = 0;
	if (one_in(random, 16)) {
		while (tc->size < wanted)
			put(tc, next(random));
		return;
	}
	make_plan(&plan, tc, random);
	while (tc->size < wanted) {
		unsigned before = tc->size;

		put_anything(tc, random, &plan);
		// a cut-off option makes the list malformed, so it is usually replaced
		if (tc->size == OPTIONS_MAX && !one_in(random, 8)) {
			const uint8_t *option = tc->bytes + before;
			bool has_length = OPTIONS_MAX - before > 1 && option[0] > KIND_NOP;

			if (has_length && option[1] > OPTIONS_MAX - before) {
				tc->size = before;
				put(tc, KIND_NOP);
			}
		}
	}
	if (one_in(random, 10))
		scatter(tc, random);
	if (one_in(random, 10))
		tc->size = below(random, tc->size + 1);
}
