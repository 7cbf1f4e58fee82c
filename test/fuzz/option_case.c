// SPDX-License-Identifier: Apache-2.0
// Cases: checks profiles by the rules of the configuration, decodes a fuzzer's bytes, and converts
// profiles and results to and from text.
#include <stdio.h>
#include <string.h>

#include "option_case.h"

#define NO_PORT 255
#define CUSTOM_BYTES 9
#define PICKS 3
#define HIGH_BIT 0x80

// The table uses these names of the parser's header, which is not included here.
#define TOA_ABSENT 0
#define TOA_VNI_24 0
#define TOA_VNI_32 1
#define TOA_VNI_32_LITTLE 2

const struct layout built_in_layouts[BUILT_IN] = {
#define TOA_PROFILE(name, id, kind, length, family, port_at, address_at, on_syn, version, vip_at, vport_at, \
		    vni_at, vni_form, source)                                                               \
	{ id,     kind,     length, family,  (port_at) ? (port_at) : -1, address_at, on_syn, version, 0, 0, \
	  vip_at, vport_at, vni_at, vni_form },
#include "../../kernel/toa_profiles.def"
#undef TOA_PROFILE
};

bool kind_allowed(uint8_t kind)
{
	return kind > 8 || kind == 6 || kind == 7;
}

struct field {
	int at; // below 1: the field is absent
	int size;
};

static bool fields_allowed(const struct field *fields, size_t count, int length)
{
	for (size_t i = 0; i < count; i++) {
		if (fields[i].at < 1)
			continue;
		if (fields[i].at < 2 || fields[i].at + fields[i].size > length)
			return false;
		for (size_t j = 0; j < i; j++)
			if (fields[j].at > 0 && fields[j].at < fields[i].at + fields[i].size &&
			    fields[i].at < fields[j].at + fields[j].size)
				return false;
	}
	return true;
}

static bool layout_allowed(const struct layout *layout)
{
	int address = layout->family == 6 ? 16 : 4;
	const struct field fields[] = {
		{ layout->address_at, address },
		{ layout->port_at, 2 },
		{ layout->vip_at, address },
		{ layout->vport_at, 2 },
		{ layout->vni_at, layout->vni_form ? 4 : 3 },
	};

	if (!kind_allowed(layout->kind) || layout->length > OPTIONS_MAX || layout->port_at == 0)
		return false;
	if (!layout->vip_at && (!layout->address_at || layout->vport_at || layout->vni_at))
		return false;
	if (!layout->address_at && layout->port_at >= 0)
		return false;
	return fields_allowed(fields, sizeof(fields) / sizeof(*fields), layout->length);
}

bool add_layout(struct option_case *tc, struct layout layout)
{
	if (tc->layout_count == LAYOUTS_MAX || !layout_allowed(&layout))
		return false;
	for (unsigned i = 0; i < tc->layout_count; i++)
		if (tc->layouts[i].kind == layout.kind && tc->layouts[i].length == layout.length)
			return false;
	tc->layouts[tc->layout_count++] = layout;
	return true;
}

void ensure_layout(struct option_case *tc)
{
	if (tc->layout_count == 0)
		add_layout(tc, built_in_layouts[0]);
}

void decode_case(struct option_case *tc, const uint8_t *input, size_t size)
{
	const uint8_t *end = input + size;
	unsigned custom = 0, id = FIRST_CUSTOM_ID;

	memset(tc, 0, sizeof(*tc));
	if (size >= 3) {
		unsigned mask = input[0] | input[1] << 8;

		for (unsigned i = 0; i < BUILT_IN; i++)
			if (mask >> i & 1)
				add_layout(tc, built_in_layouts[i]);
		tc->segment = (mask >> 14) % 3;
		custom = input[2];
		input += 3;
	}
	for (; custom > 0 && end - input >= CUSTOM_BYTES; custom--, input += CUSTOM_BYTES) {
		struct layout layout = { .id = id,
					 .kind = input[0],
					 .length = input[1],
					 .family = (input[2] & 0xf) == 6 ? 6 : 4,
					 .port_at = input[3] == NO_PORT ? -1 : input[3],
					 .address_at = input[4],
					 .on_syn = input[2] & HIGH_BIT,
					 .priority = input[5] & 0x3f,
					 .pick = (input[5] >> 6) % PICKS,
					 .vip_at = input[6],
					 .vport_at = input[7],
					 .vni_at = input[8],
					 .vni_form = (input[2] >> 4 & 3) % 3 };

		id += add_layout(tc, layout);
	}
	ensure_layout(tc);
	tc->size = end - input < OPTIONS_MAX ? end - input : OPTIONS_MAX;
	memcpy(tc->bytes, input, tc->size);
}

void read_list(struct option_case *tc, const char *hex)
{
	unsigned byte;

	for (tc->size = 0; tc->size < OPTIONS_MAX && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		tc->bytes[tc->size++] = byte;
}

int write_layout(char *to, size_t room, const struct layout *layout)
{
	return snprintf(to, room, "%u:%u:%u:%u:%u:%u:%u:%u:%u:%u:%u:%u:%u:%u", layout->id, layout->kind,
			layout->length, layout->family, layout->port_at < 0 ? NO_PORT : layout->port_at,
			layout->address_at, layout->on_syn, layout->version, layout->priority, layout->pick,
			layout->vip_at, layout->vport_at, layout->vni_at, layout->vni_form);
}

bool read_layout(struct layout *layout, const char *text)
{
	unsigned port_at, on_syn;

	if (sscanf(text, "%hhu:%hhu:%hhu:%hhu:%u:%hhu:%u:%hhu:%hhu:%hhu:%hhu:%hhu:%hhu:%hhu", &layout->id,
		   &layout->kind, &layout->length, &layout->family, &port_at, &layout->address_at, &on_syn,
		   &layout->version, &layout->priority, &layout->pick, &layout->vip_at, &layout->vport_at,
		   &layout->vni_at, &layout->vni_form) != 14)
		return false;
	layout->on_syn = on_syn;
	layout->port_at = port_at == NO_PORT ? -1 : (int16_t)port_at;
	return true;
}

static int write_address(char *to, size_t room, const uint8_t address[16])
{
	int used = 0;

	for (size_t i = 0; i < 16; i++)
		used += snprintf(to + used, room - used, "%02x", address[i]);
	return used;
}

static int write_virtual_server(char *to, size_t room, const struct virtual_server *server)
{
	int used = snprintf(to, room, " vip %u %u ", server->family, server->port);

	if (server->has_vni)
		used += snprintf(to + used, room - used, "%u ", server->vni);
	else
		used += snprintf(to + used, room - used, "- ");
	return used + write_address(to + used, room - used, server->address);
}

int write_result(char *to, size_t room, const struct parse_result *result)
{
	int used;

	switch (result->verdict) {
	case TOA_VERDICT_NONE:
		used = snprintf(to, room, "none");
		break;
	case TOA_VERDICT_MALFORMED:
		return snprintf(to, room, "malformed");
	default:
		used = snprintf(to, room, "%s %u %u %u ", result->verdict == VERDICT_ONE ? "one" : "conflict",
				result->id, result->family, result->port);
		used += write_address(to + used, room - used, result->address);
	}
	if (result->virtual_server.family)
		used += write_virtual_server(to + used, room - used, &result->virtual_server);
	return used;
}
