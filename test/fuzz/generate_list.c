// SPDX-License-Identifier: Apache-2.0
// Lists of options that a network could bring, and of those that only an attacker would write.
#include <string.h>

#include "generate.h"

#define KIND_EOL 0
#define KIND_NOP 1
#define CLIENTS 2

/* What one list is made of. */
struct plan {
	/* few clients, so that options agree as well as differ */
	uint8_t address[CLIENTS][16];
	uint16_t port[CLIENTS];
	/* nothing but options of this profile, as many as go in; or NULL */
	const struct layout *only;
};

static unsigned room(const struct option_case *on)
{
	return OPTIONS_MAX - on->size;
}

/* What does not fit is cut off. */
static void put(struct option_case *on, uint8_t byte)
{
	if (on->size < OPTIONS_MAX)
		on->bytes[on->size++] = byte;
}

/* An option with bytes that mean nothing, some of which look like options. */
static void put_option(struct option_case *on, struct random *random, uint8_t kind, uint8_t length)
{
	put(on, kind);
	put(on, length);
	for (unsigned i = 2; i < length; i++) {
		const struct layout *layout = &on->layouts[below(random, on->layout_count)];

		switch (below(random, 4)) {
		case 0:
			put(on, layout->kind);
			break;
		case 1:
			put(on, layout->length);
			break;
		default:
			put(on, next(random));
		}
	}
}

static void put_tcp_option(struct option_case *on, struct random *random)
{
	// MSS, window scale, SACK permitted, timestamps, user timeout, MPTCP, Fast Open
	static const uint8_t options[][2] = { { 2, 4 },  { 3, 3 },   { 4, 2 },  { 8, 10 },
					      { 28, 4 }, { 30, 12 }, { 34, 10 } };
	unsigned i = below(random, sizeof(options) / sizeof(*options) + 1);

	if (i == sizeof(options) / sizeof(*options))
		put_option(on, random, 5, 2 + 8 * (1 + below(random, 4)));
	else
		put_option(on, random, options[i][0], options[i][1]);
}

static void put_toa(struct option_case *on, struct random *random, const struct plan *plan)
{
	const struct layout *layout = plan->only ?: &on->layouts[below(random, on->layout_count)];
	unsigned start = on->size, family = layout->family == 6 ? 16 : 4;
	unsigned which = one_in(random, 4), port = plan->port[one_in(random, 6) ? !which : which];
	const uint8_t *address = plan->address[which];
	uint8_t *option = on->bytes + start;

	put_option(on, random, layout->kind, layout->length);
	if (on->size - start < layout->length)
		return;
	if (!layout->address_at)
		return;
	if (family == 4 && address[10] == 0xff && address[11] == 0xff)
		address += 12;
	memcpy(option + layout->address_at, address, family);
	if (layout->version && !one_in(random, 12))
		option[2] = layout->version;
	// one bit more or less is another client, wherever it stands
	if (one_in(random, 12))
		option[layout->address_at + below(random, family)] ^= 1 << below(random, 8);
	if (layout->port_at < 0)
		return;
	if (one_in(random, 12))
		port ^= 1 << below(random, 16);
	option[layout->port_at] = port >> 8;
	option[layout->port_at + 1] = port & 0xff;
}

/* A profile's kind with a length that is not its own, or the other way round. */
static void put_near_miss(struct option_case *on, struct random *random)
{
	const struct layout *layout = &on->layouts[below(random, on->layout_count)];

	if (one_in(random, 2))
		put_option(on, random, layout->kind, 2 + below(random, OPTIONS_MAX - 1));
	else
		put_option(on, random, any_kind(random), layout->length);
}

static void put_wrong_length(struct option_case *on, struct random *random)
{
	uint8_t kind = any_kind(random);

	put(on, kind);
	switch (below(random, 5)) {
	case 0:
		put(on, 0);
		break;
	case 1:
		put(on, 1);
		break;
	case 2: // one past the end of a list of 40 bytes
		put(on, room(on) + 2);
		break;
	case 3:
		put(on, 255 - below(random, 200));
		break;
	default: // none at all, where the list ends here
		break;
	}
}

static void put_anything(struct option_case *on, struct random *random, const struct plan *plan)
{
	unsigned choice = below(random, 64);

	if (choice < 30 || plan->only)
		put_toa(on, random, plan);
	else if (choice < 44)
		for (unsigned i = 1 + below(random, one_in(random, 16) ? OPTIONS_MAX : 3); i > 0; i--)
			put(on, KIND_NOP);
	else if (choice < 53)
		put_tcp_option(on, random);
	else if (choice < 57)
		put_near_miss(on, random);
	else if (choice < 61)
		put_option(on, random, any_kind(random), 2 + below(random, 12));
	else if (choice < 63)
		put(on, KIND_EOL);
	else
		put_wrong_length(on, random);
}

static void make_plan(struct plan *plan, const struct option_case *on, struct random *random)
{
	// among them the identifiers of experiments, and one next to it
	static const uint16_t ports[] = { 0, 1, 5555, 63881, 63882, 17742, 840, 44224, 58068, 65535 };

	for (unsigned i = 0; i < CLIENTS; i++) {
		for (unsigned j = 0; j < sizeof(plan->address[i]); j++)
			plan->address[i][j] = next(random);
		plan->port[i] = one_in(random, 2) ? ports[below(random, sizeof(ports) / sizeof(*ports))] :
						    next(random);
	}
	// the IPv6 address whose bytes are those of the IPv4 one, and zeros: the family alone tells them apart
	if (one_in(random, 4))
		memset(plan->address[0] + 4, 0, 12);
	// an IPv4 client in an IPv6 layout, beside the same in an IPv4 one, or something like it
	if (one_in(random, 4)) {
		uint8_t *address = plan->address[one_in(random, 4)];

		memset(address, 0, 10);
		memset(address + 10, 0xff, 2);
		if (one_in(random, 4))
			address[below(random, 12)] ^= 1 << below(random, 8);
	}
	plan->only = one_in(random, 16) ? &on->layouts[below(random, on->layout_count)] : NULL;
}

static void scatter(struct option_case *on, struct random *random)
{
	for (unsigned i = 1 + below(random, 3); i > 0 && on->size > 0; i--)
		on->bytes[below(random, on->size)] = one_in(random, 2) ? below(random, 4) : next(random);
}

void generate_list(struct option_case *on, struct random *random)
{
	unsigned wanted = one_in(random, 3) ? OPTIONS_MAX : below(random, OPTIONS_MAX + 1);
	struct plan plan;

	on->size = 0;
	if (one_in(random, 16)) {
		while (on->size < wanted)
			put(on, next(random));
		return;
	}
	make_plan(&plan, on, random);
	while (on->size < wanted) {
		unsigned before = on->size;

		put_anything(on, random, &plan);
		// an option that was cut off at 40 bytes makes the list malformed: mostly another one instead
		if (on->size == OPTIONS_MAX && !one_in(random, 8)) {
			const uint8_t *option = on->bytes + before;
			bool has_length = OPTIONS_MAX - before > 1 && option[0] > KIND_NOP;

			if (has_length && option[1] > OPTIONS_MAX - before) {
				on->size = before;
				put(on, KIND_NOP);
			}
		}
	}
	if (one_in(random, 10))
		scatter(on, random);
	if (one_in(random, 10))
		on->size = below(random, on->size + 1);
}
