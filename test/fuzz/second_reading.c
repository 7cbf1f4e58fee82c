// SPDX-License-Identifier: Apache-2.0
// First the list is cut into options, all of it; then the options are judged, without the list.
#include <string.h>

#include "second_reading.h"

struct option {
	uint8_t kind;
	uint8_t length;
	uint8_t value[OPTIONS_MAX - 2]; // without kind and length
};

struct client {
	uint8_t id;
	uint8_t family;
	uint16_t port;
	uint8_t address[16];
};

/*
 * RFC 9293, section 3.1: "Case 1: a single octet of option kind. Case 2: an octet of option kind,
 * an octet of option length, and the actual option data octets. The option length counts the two
 * octets of option kind and option length as well as the option data octets." Section 3.2: kind 0
 * ends all options, kind 1 is one octet; these are the only two of case 1.
 *
 * Returns how many options of case 2 there are, or -1 if some octet belongs to none.
 */
static int cut(const uint8_t *octet, const uint8_t *end, struct option *options)
{
	int count = 0;

	while (octet != end) {
		struct option *option = &options[count];

		switch (*octet) {
		case 0:
			return count;
		case 1:
			octet++;
			continue;
		}
		if (end - octet == 1)
			return -1;
		option->kind = octet[0];
		option->length = octet[1];
		if (option->length < 2 || end - octet < option->length)
			return -1;
		memcpy(option->value, octet + 2, option->length - 2);
		octet += option->length;
		count++;
	}
	return count;
}

static const struct layout *layout_of(const struct option_case *on, const struct option *option)
{
	for (unsigned i = 0; i < on->layout_count; i++)
		if (on->layouts[i].kind == option->kind && on->layouts[i].length == option->length &&
		    (on->layouts[i].version == 0 || on->layouts[i].version == option->value[0]))
			return &on->layouts[i];
	return NULL;
}

/* IANA, "TCP Option Kind Numbers": assigned ones by their first and last, and by their length where it tells others apart. */
static bool in_registry(const struct option *option)
{
	static const uint8_t assigned[][2] = {
		{ 2, 27 }, { 29, 34 }, { 69, 69 }, { 172, 172 }, { 174, 174 }
	};

	for (size_t i = 0; i < sizeof(assigned) / sizeof(*assigned); i++)
		if (option->kind >= assigned[i][0] && option->kind <= assigned[i][1])
			return true;
	// RFC 5482, section 3
	return option->kind == 28 && option->length == 4;
}

static const uint8_t ipv4_mapped[12] = { [10] = 0xff, [11] = 0xff };

static struct client client_of(const struct layout *layout, const struct option *option)
{
	struct client client = { .id = layout->id, .family = layout->family };

	// offsets count from the kind
	memcpy(client.address, option->value + layout->address_at - 2, layout->family == 4 ? 4 : 16);
	if (layout->port_at >= 0)
		client.port =
			option->value[layout->port_at - 2] * 256 + option->value[layout->port_at - 2 + 1];
	// RFC 4291, section 2.5.5.2: 80 bits of zero, 16 of one, and an IPv4 address
	if (client.family == 6 && memcmp(client.address, ipv4_mapped, sizeof(ipv4_mapped)) == 0) {
		struct client ipv4 = { .id = client.id, .family = 4, .port = client.port };

		memcpy(ipv4.address, client.address + sizeof(ipv4_mapped), 4);
		return ipv4;
	}
	return client;
}

static bool same(const struct client *a, const struct client *b)
{
	bool has_ports = a->port != 0 && b->port != 0;

	if (a->family != b->family || (has_ports && a->port != b->port))
		return false;
	return memcmp(a->address, b->address, a->family == 4 ? 4 : 16) == 0;
}

struct reading second_reading(const struct option_case *on)
{
	struct option options[OPTIONS_MAX / 2];
	struct client clients[OPTIONS_MAX / 2];
	struct reading reading = { .verdict = VERDICT_NONE };
	int option_count = cut(on->bytes, on->bytes + on->size, options), client_count = 0;

	// nothing of such a list is believed, whatever stood before
	if (option_count < 0)
		return (struct reading){ .verdict = VERDICT_MALFORMED };

	for (int i = 0; i < option_count; i++) {
		const struct layout *layout = layout_of(on, &options[i]);

		if (layout && (layout->on_syn || !on->of_syn)) {
			clients[client_count++] = client_of(layout, &options[i]);
		} else if (!layout && !in_registry(&options[i])) {
			reading.unknown_kind = options[i].kind;
			reading.unknown_length = options[i].length;
		}
	}
	if (client_count == 0)
		return reading;

	// the first of the list is kept, be there a conflict or not
	reading.verdict = VERDICT_ONE;
	reading.id = clients[0].id;
	reading.family = clients[0].family;
	reading.port = clients[0].port;
	memcpy(reading.address, clients[0].address, sizeof(reading.address));
	for (int i = 0; i < client_count; i++)
		if (!same(&clients[i], &clients[0]))
			reading.verdict = VERDICT_CONFLICT;
	return reading;
}
