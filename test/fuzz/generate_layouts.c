// SPDX-License-Identifier: Apache-2.0
// Random profiles, within the rules of the configuration.
#include "generate.h"

uint8_t any_kind(struct random *random)
{
	uint8_t kind;

	// often a built-in kind, so that custom profiles differ from built-in ones only by the
	// length
	if (one_in(random, 2))
		return built_in_layouts[below(random, BUILT_IN)].kind;
	do
		kind = next(random);
	while (!kind_allowed(kind));
	return kind;
}

/* Adds the fields of a virtual server after those of the client, or in place of them. */
static void add_virtual_server(struct layout *layout, struct random *random, unsigned address)
{
	if (one_in(random, 4)) {
		layout->port_at = -1;
		layout->address_at = 0;
		layout->length = 2;
	}
	layout->vip_at = layout->length;
	layout->length += address;
	if (one_in(random, 2)) {
		layout->vport_at = layout->length;
		layout->length += 2;
	}
	if (one_in(random, 2)) {
		layout->vni_form = below(random, 3);
		layout->vni_at = layout->length;
		layout->length += layout->vni_form ? 4 : 3;
	}
}

/* Some of these layouts are invalid, and add_layout() leaves them out. */
static struct layout any_layout(struct random *random)
{
	struct layout layout = { .id = FIRST_CUSTOM_ID,
				 .kind = any_kind(random),
				 .family = one_in(random, 2) ? 4 : 6,
				 .on_syn = one_in(random, 2),
				 .priority = one_in(random, 2) ? 0 : below(random, 3),
				 .pick = one_in(random, 2) ? 0 : below(random, 3) };
	unsigned address = layout.family == 4 ? 4 : 16, spare;

	// often a short one, since more of them fit in one list
	spare = one_in(random, 2) ? below(random, 5) : below(random, OPTIONS_MAX - 2 - address + 1);
	layout.length = 2 + address + spare;
	layout.address_at = 2 + below(random, spare + 1);
	layout.port_at = one_in(random, 3) ? -1 : (int)(2 + below(random, layout.length - 2));
	if (one_in(random, 3))
		add_virtual_server(&layout, random, address);
	return layout;
}

static void add_custom(struct option_case *tc, struct random *random, unsigned most)
{
	for (unsigned i = 1 + below(random, most); i > 0; i--)
		add_layout(tc, any_layout(random));
}

static void add_built_in(struct option_case *tc, unsigned mask)
{
	for (unsigned i = 0; i < BUILT_IN; i++)
		if (mask >> i & 1)
			add_layout(tc, built_in_layouts[i]);
}

static void shuffle(struct option_case *tc, struct random *random)
{
	for (unsigned i = tc->layout_count; i > 1; i--) {
		unsigned other = below(random, i);
		struct layout layout = tc->layouts[other];

		tc->layouts[other] = tc->layouts[i - 1];
		tc->layouts[i - 1] = layout;
	}
}

/* Numbers custom profiles in order from FIRST_CUSTOM_ID, as the configuration does. */
static void number_custom(struct option_case *tc)
{
	unsigned id = FIRST_CUSTOM_ID;

	for (unsigned i = 0; i < tc->layout_count; i++)
		if (tc->layouts[i].id >= FIRST_CUSTOM_ID && tc->layouts[i].id < FIRST_CUSTOM_ID + LAYOUTS_MAX)
			tc->layouts[i].id = id++;
}

void generate_layouts(struct option_case *tc, struct random *random)
{
	tc->layout_count = 0;
	tc->segment = one_in(random, 3) ? 1 + below(random, 2) : SEGMENT_OTHER;
	switch (below(random, 6)) {
	case 0:
		add_built_in(tc, 7); /* nat64, toa6, toa4 */
		break;
	case 1:
		add_built_in(tc, (1 << BUILT_IN) - 1);
		break;
	case 2:
		add_built_in(tc, 1 + below(random, (1 << BUILT_IN) - 1));
		break;
	case 3:
		add_custom(tc, random, 3);
		break;
	case 4:
		add_custom(tc, random, LAYOUTS_MAX);
		break;
	default:
		add_built_in(tc, next(random));
		add_custom(tc, random, LAYOUTS_MAX);
	}
	ensure_layout(tc);
	shuffle(tc, random);
	number_custom(tc);
}
