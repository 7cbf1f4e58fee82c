// SPDX-License-Identifier: Apache-2.0
// First splits the whole list into options, then evaluates the options without the list.
#include <string.h>

#include "reference_parser.h"

struct option {
	uint8_t kind;
	uint8_t length;
	uint8_t value[OPTIONS_MAX - 2]; // without kind and length
};

struct client {
	const struct layout *layout;
	uint8_t id;
	uint8_t family;
	uint16_t port;
	uint8_t address[16];
	struct virtual_server server; // family 0: its option names none
};

/*
 * RFC 9293, section 3.1: "Case 1: a single octet of option kind. Case 2: an octet of option kind,
 * an octet of option length, and the actual option data octets. The option length counts the two
 * octets of option kind and option length as well as the option data octets." Section 3.2: kind 0
 * ends all options, kind 1 is one octet; these are the only two of case 1.
 *
 * Returns the number of options of case 2, or -1 if an octet belongs to no option.
 */
static int split(const uint8_t *octet, const uint8_t *end, struct option *options)
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

static const struct layout *layout_of(const struct option_case *tc, const struct option *option)
{
	for (unsigned i = 0; i < tc->layout_count; i++)
		if (tc->layouts[i].kind == option->kind && tc->layouts[i].length == option->length &&
		    (tc->layouts[i].version == 0 || tc->layouts[i].version == option->value[0]))
			return &tc->layouts[i];
	return NULL;
}

/*
 * IANA, "TCP Option Kind Numbers": ranges of assigned kinds. Kind 28 counts only with its standard
 * length, which distinguishes it from other options of this kind.
 */
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

/*
 * RFC 6994: an experiment has an identifier of 16 or 32 bits after the length. These identifiers
 * from IANA's list ("TCP/UDP Experimental Option Experiment Identifiers") occur on SYNs in options
 * that can be as long as a TOA option.
 */
static bool is_experiment(const struct option *option)
{
	unsigned size = option->length - 2 - 2; // without kind, length and identifier

	if (option->kind < 253 || option->kind > 254 || option->length < 4)
		return false;
	switch (option->value[0] * 256 + option->value[1]) {
	case 63881: // RFC 7413, 4.1.1: a cookie has 4 to 16 bytes, an even number
		return size >= 4 && size <= 16 && size % 2 == 0;
	case 44224: // Accurate ECN, either order of its counters
	case 44225:
	case 44238:
		return size == 3 || size == 6 || size == 9;
	case 58068: // RFC 7609: the 32 bits "SMCR" in EBCDIC, and nothing else
		return option->length == 6 && option->value[2] == 0xc3 && option->value[3] == 0xd9;
	case 17742: // RFC 8547
	case 840:   // RFC 7974
		return true;
	}
	return false;
}

static const uint8_t ipv4_mapped[12] = { [10] = 0xff, [11] = 0xff };

static struct client client_of(const struct layout *layout, const struct option *option)
{
	struct client client = { .layout = layout, .id = layout->id, .family = layout->family };

	// offsets count from the kind
	memcpy(client.address, option->value + layout->address_at - 2, layout->family == 4 ? 4 : 16);
	if (layout->port_at >= 0)
		client.port =
			option->value[layout->port_at - 2] * 256 + option->value[layout->port_at - 2 + 1];
	// RFC 4291, section 2.5.5.2: 80 bits of zero, 16 of one, and an IPv4 address
	if (client.family == 6 && memcmp(client.address, ipv4_mapped, sizeof(ipv4_mapped)) == 0) {
		struct client ipv4 = { .layout = layout, .id = client.id, .family = 4, .port = client.port };

		memcpy(ipv4.address, client.address + sizeof(ipv4_mapped), 4);
		return ipv4;
	}
	return client;
}

static struct virtual_server server_of(const struct layout *layout, const struct option *option)
{
	struct virtual_server server = { .family = layout->family };
	const uint8_t *vni = option->value + layout->vni_at - 2;

	memcpy(server.address, option->value + layout->vip_at - 2, layout->family == 4 ? 4 : 16);
	if (layout->vport_at)
		server.port = option->value[layout->vport_at - 2] * 256 + option->value[layout->vport_at - 1];
	if (server.family == 6 && memcmp(server.address, ipv4_mapped, sizeof(ipv4_mapped)) == 0) {
		memmove(server.address, server.address + sizeof(ipv4_mapped), 4);
		memset(server.address + 4, 0, 12);
		server.family = 4;
	}
	if (!layout->vni_at)
		return server;
	server.has_vni = true;
	switch (layout->vni_form) {
	case 0:
		server.vni = vni[0] * 65536 + vni[1] * 256 + vni[2];
		break;
	case 1:
		server.vni = vni[0] * 16777216U + vni[1] * 65536 + vni[2] * 256 + vni[3];
		break;
	default:
		server.vni = vni[3] * 16777216U + vni[2] * 65536 + vni[1] * 256 + vni[0];
	}
	return server;
}

static bool same(const struct client *a, const struct client *b)
{
	bool has_ports = a->port != 0 && b->port != 0;

	if (a->family != b->family || (has_ports && a->port != b->port))
		return false;
	return memcmp(a->address, b->address, a->family == 4 ? 4 : 16) == 0;
}

struct parse_result reference_parse(const struct option_case *tc)
{
	struct option options[OPTIONS_MAX / 2];
	struct client clients[OPTIONS_MAX / 2];
	struct parse_result result = { .verdict = TOA_VERDICT_NONE };
	int kept, option_count = split(tc->bytes, tc->bytes + tc->size, options), client_count = 0;

	// nothing in a malformed list counts, not even the options before the error
	if (option_count < 0)
		return (struct parse_result){ .verdict = TOA_VERDICT_MALFORMED };

	for (int i = 0; i < option_count; i++) {
		const struct layout *layout = layout_of(tc, &options[i]);

		if (layout && tc->segment != SEGMENT_OTHER && is_experiment(&options[i]))
			continue;
		if (layout && (layout->on_syn || tc->segment != TOA_SEGMENT_SYN)) {
			struct virtual_server server = { 0 };

			// the last virtual server counts, unless the option of the client kept has
			// one
			if (layout->vip_at)
				result.virtual_server = server = server_of(layout, &options[i]);
			if (layout->address_at) {
				clients[client_count] = client_of(layout, &options[i]);
				clients[client_count++].server = server;
			}
		} else if (!layout && !in_registry(&options[i])) {
			result.unknown_kind = options[i].kind;
			result.unknown_length = options[i].length;
		}
	}
	if (client_count == 0)
		return result;

	kept = 0;
	for (int i = 0; i < client_count; i++)
		if (clients[i].layout->priority > clients[kept].layout->priority)
			kept = i;
	if (clients[kept].layout->pick == 2)
		for (int i = kept; i < client_count; i++)
			if (clients[i].layout == clients[kept].layout)
				kept = i;

	result.verdict = VERDICT_ONE;
	for (int i = 0; i < client_count; i++) {
		bool picked = clients[i].layout == clients[kept].layout && clients[i].layout->pick != 0;

		if (clients[i].layout->priority < clients[kept].layout->priority)
			continue;
		if (same(&clients[i], &clients[kept]))
			clients[kept].port = clients[kept].port ? clients[kept].port : clients[i].port;
		else if (!picked)
			result.verdict = TOA_VERDICT_CONFLICT;
	}
	if (clients[kept].server.family)
		result.virtual_server = clients[kept].server;
	result.id = clients[kept].id;
	result.family = clients[kept].family;
	result.port = clients[kept].port;
	memcpy(result.address, clients[kept].address, sizeof(result.address));
	return result;
}
