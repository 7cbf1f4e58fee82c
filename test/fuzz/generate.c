// SPDX-License-Identifier: Apache-2.0
// Lists of options that a network could bring, and of those that only an attacker would write.
#include <string.h>

#include "generate.h"

#define KIND_EOL 0
#define KIND_NOP 1
#define CLIENTS 2

/* The clients that a case's options name: few, so that options agree as well as differ. */
struct clients {
	uint8_t address[CLIENTS][16];
	uint16_t port[CLIENTS];
};

void seed_random(struct random *random, uint64_t seed)
{
	// close seeds must not give close sequences, and 0 would stay 0
	random->state = (seed ^ seed >> 31) * 0x9e3779b97f4a7c15 | 1;
}

/* xorshift: three shifts that go through all states but 0; the upper half of a product is returned. */
static uint32_t next(struct random *random)
{
	random->state ^= random->state << 13;
	random->state ^= random->state >> 7;
	random->state ^= random->state << 17;
	return random->state * 0x9e3779b97f4a7c15 >> 32;
}

static unsigned below(struct random *random, unsigned limit)
{
	return (uint64_t)next(random) * limit >> 32;
}

static bool one_in(struct random *random, unsigned n)
{
	return below(random, n) == 0;
}

/* --- profiles ---------------------------------------------------------------------------------- */

static uint8_t any_kind(struct random *random)
{
	uint8_t kind;

	// kinds of the built-in ones often: own profiles beside them, told apart by the length alone
	if (one_in(random, 2))
		return built_in_layouts[below(random, BUILT_IN)].kind;
	do
		kind = next(random);
	while (!kind_allowed(kind));
	return kind;
}

/* Some of these cannot be, and are left out when they are added. */
static struct layout any_layout(struct random *random)
{
	struct layout layout = { .id = FIRST_OWN_ID,
				 .kind = any_kind(random),
				 .family = one_in(random, 2) ? 4 : 6 };
	unsigned address = layout.family == 4 ? 4 : 16, spare;

	// short ones often: more of them fit in one list
	spare = one_in(random, 2) ? below(random, 5) : below(random, OPTIONS_MAX - 2 - address + 1);
	layout.length = 2 + address + spare;
	layout.address_at = 2 + below(random, spare + 1);
	layout.port_at = one_in(random, 3) ? -1 : (int)(2 + below(random, layout.length - 2));
	return layout;
}

static void add_own(struct option_case *on, struct random *random, unsigned most)
{
	for (unsigned i = 1 + below(random, most); i > 0; i--)
		add_layout(on, any_layout(random));
}

static void add_built_in(struct option_case *on, unsigned mask)
{
	for (unsigned i = 0; i < BUILT_IN; i++)
		if (mask >> i & 1)
			add_layout(on, built_in_layouts[i]);
}

static void shuffle(struct option_case *on, struct random *random)
{
	for (unsigned i = on->layout_count; i > 1; i--) {
		unsigned other = below(random, i);
		struct layout layout = on->layouts[other];

		on->layouts[other] = on->layouts[i - 1];
		on->layouts[i - 1] = layout;
	}
}

/* Own profiles count from FIRST_OWN_ID in their order, as in the configuration. */
static void number_own(struct option_case *on)
{
	unsigned id = FIRST_OWN_ID;

	for (unsigned i = 0; i < on->layout_count; i++)
		if (on->layouts[i].id >= FIRST_OWN_ID)
			on->layouts[i].id = id++;
}

void generate_layouts(struct option_case *on, struct random *random)
{
	on->layout_count = 0;
	switch (below(random, 6)) {
	case 0:
		add_built_in(on, 7);
		break;
	case 1:
		add_built_in(on, (1 << BUILT_IN) - 1);
		break;
	case 2:
		add_built_in(on, 1 + below(random, (1 << BUILT_IN) - 1));
		break;
	case 3:
		add_own(on, random, 3);
		break;
	case 4:
		add_own(on, random, LAYOUTS_MAX);
		break;
	default:
		add_built_in(on, next(random));
		add_own(on, random, LAYOUTS_MAX);
	}
	ensure_layout(on);
	shuffle(on, random);
	number_own(on);
}

/* --- lists ------------------------------------------------------------------------------------- */

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

static void put_toa(struct option_case *on, struct random *random, const struct clients *clients)
{
	const struct layout *layout = &on->layouts[below(random, on->layout_count)];
	unsigned start = on->size, family = layout->family == 6 ? 16 : 4;
	unsigned which = one_in(random, 4), port = clients->port[one_in(random, 6) ? !which : which];
	uint8_t *option = on->bytes + start;

	put_option(on, random, layout->kind, layout->length);
	if (on->size - start < layout->length)
		return;
	memcpy(option + layout->address_at, clients->address[which], family);
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

static void put_anything(struct option_case *on, struct random *random, const struct clients *clients)
{
	unsigned choice = below(random, 64);

	if (choice < 30)
		put_toa(on, random, clients);
	else if (choice < 44)
		for (unsigned i = 1 + below(random, 3); i > 0; i--)
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

static void choose_clients(struct clients *clients, struct random *random)
{
	static const uint16_t ports[] = { 0, 1, 5555, 63881, 65535 };

	for (unsigned i = 0; i < CLIENTS; i++) {
		for (unsigned j = 0; j < sizeof(clients->address[i]); j++)
			clients->address[i][j] = next(random);
		clients->port[i] = one_in(random, 2) ? ports[below(random, sizeof(ports) / sizeof(*ports))] :
						       next(random);
	}
	// the IPv6 address whose bytes are those of the IPv4 one, and zeros: the family alone tells them apart
	if (one_in(random, 4))
		memset(clients->address[0] + 4, 0, 12);
}

static void scatter(struct option_case *on, struct random *random)
{
	for (unsigned i = 1 + below(random, 3); i > 0 && on->size > 0; i--)
		on->bytes[below(random, on->size)] = one_in(random, 2) ? below(random, 4) : next(random);
}

void generate_list(struct option_case *on, struct random *random)
{
	unsigned wanted = one_in(random, 3) ? OPTIONS_MAX : below(random, OPTIONS_MAX + 1);
	struct clients clients;

	on->size = 0;
	if (one_in(random, 16)) {
		while (on->size < wanted)
			put(on, next(random));
		return;
	}
	choose_clients(&clients, random);
	while (on->size < wanted) {
		unsigned before = on->size;

		put_anything(on, random, &clients);
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
