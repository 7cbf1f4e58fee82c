// SPDX-License-Identifier: Apache-2.0
// Cases: profiles as the configuration allows them, and both as text and as a fuzzer's bytes.
#include <stdio.h>
#include <string.h>

#include "option_case.h"

#define NO_PORT 255
#define OWN_BYTES 6
#define PICKS 3
#define HIGH_BIT 0x80

// DESIGN, "TOA on the wire"; ids as in daemon/config/profiles.ts
const struct layout built_in_layouts[BUILT_IN] = {
	{ 1, 253, 20, 6, 2, 4, false, 0, 0, 0 }, // nat64
	{ 2, 254, 20, 6, 2, 4, false, 0, 0, 0 }, // toa6
	{ 3, 254, 8, 4, 2, 4, false, 0, 0, 0 },  // toa4
	{ 4, 253, 8, 4, 2, 4, false, 0, 0, 0 },  // akamai4
	{ 5, 200, 8, 4, 2, 4, false, 0, 0, 0 },  // tencent
	{ 6, 28, 7, 4, -1, 3, true, 1, 0, 0 },   // cdn4
	{ 7, 28, 19, 6, -1, 3, true, 1, 0, 0 },  // cdn6
};

bool kind_allowed(uint8_t kind)
{
	return kind > 8 || kind == 6 || kind == 7;
}

static bool layout_allowed(const struct layout *layout)
{
	int address_end = layout->address_at + (layout->family == 6 ? 16 : 4);

	if (!kind_allowed(layout->kind) || layout->length > OPTIONS_MAX)
		return false;
	if (layout->address_at < 2 || address_end > layout->length)
		return false;
	if (layout->port_at < 0)
		return true;
	if (layout->port_at < 2 || layout->port_at + 2 > layout->length)
		return false;
	return layout->port_at + 2 <= layout->address_at || layout->port_at >= address_end;
}

bool add_layout(struct option_case *on, struct layout layout)
{
	if (on->layout_count == LAYOUTS_MAX || !layout_allowed(&layout))
		return false;
	for (unsigned i = 0; i < on->layout_count; i++)
		if (on->layouts[i].kind == layout.kind && on->layouts[i].length == layout.length)
			return false;
	on->layouts[on->layout_count++] = layout;
	return true;
}

void ensure_layout(struct option_case *on)
{
	if (on->layout_count == 0)
		add_layout(on, built_in_layouts[0]);
}

void decode_case(struct option_case *on, const uint8_t *input, size_t size)
{
	const uint8_t *end = input + size;
	unsigned own = 0, id = FIRST_OWN_ID;

	memset(on, 0, sizeof(*on));
	if (size >= 3) {
		unsigned mask = input[0] | input[1] << 8;

		for (unsigned i = 0; i < BUILT_IN; i++)
			if (mask >> i & 1)
				add_layout(on, built_in_layouts[i]);
		on->segment = (mask >> 14) % 3;
		own = input[2];
		input += 3;
	}
	for (; own > 0 && end - input >= OWN_BYTES; own--, input += OWN_BYTES) {
		struct layout layout = { .id = id,
					 .kind = input[0],
					 .length = input[1],
					 .family = (input[2] & ~HIGH_BIT) == 6 ? 6 : 4,
					 .port_at = input[3] == NO_PORT ? -1 : input[3],
					 .address_at = input[4],
					 .on_syn = input[2] & HIGH_BIT,
					 .priority = input[5] & 0x3f,
					 .pick = (input[5] >> 6) % PICKS };

		id += add_layout(on, layout);
	}
	ensure_layout(on);
	on->size = end - input < OPTIONS_MAX ? end - input : OPTIONS_MAX;
	memcpy(on->bytes, input, on->size);
}

void read_list(struct option_case *on, const char *hex)
{
	unsigned byte;

	for (on->size = 0; on->size < OPTIONS_MAX && sscanf(hex, "%2x", &byte) == 1; hex += 2)
		on->bytes[on->size++] = byte;
}

int write_layout(char *to, size_t room, const struct layout *layout)
{
	return snprintf(to, room, "%u:%u:%u:%u:%u:%u:%u:%u:%u:%u", layout->id, layout->kind, layout->length,
			layout->family, layout->port_at < 0 ? NO_PORT : layout->port_at, layout->address_at,
			layout->on_syn, layout->version, layout->priority, layout->pick);
}

bool read_layout(struct layout *layout, const char *text)
{
	unsigned port_at, on_syn;

	if (sscanf(text, "%hhu:%hhu:%hhu:%hhu:%u:%hhu:%u:%hhu:%hhu:%hhu", &layout->id, &layout->kind,
		   &layout->length, &layout->family, &port_at, &layout->address_at, &on_syn, &layout->version,
		   &layout->priority, &layout->pick) != 10)
		return false;
	layout->on_syn = on_syn;
	layout->port_at = port_at == NO_PORT ? -1 : (int16_t)port_at;
	return true;
}

int write_reading(char *to, size_t room, const struct reading *reading)
{
	int used;

	if (reading->verdict == VERDICT_NONE)
		return snprintf(to, room, "none");
	if (reading->verdict == VERDICT_MALFORMED)
		return snprintf(to, room, "malformed");
	used = snprintf(to, room, "%s %u %u %u ", reading->verdict == VERDICT_ONE ? "one" : "conflict",
			reading->id, reading->family, reading->port);
	for (size_t i = 0; i < sizeof(reading->address); i++)
		used += snprintf(to + used, room - used, "%02x", reading->address[i]);
	return used;
}
