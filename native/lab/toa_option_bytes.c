/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes TOA options, by profile or from hex. */
#include "toa_option_bytes.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define KIND_NOP 1
#define PORT_AT 2
#define ADDRESS_AT 4

static const struct {
	const char *name;
	uint8_t kind;
	uint8_t length;
} profiles[] = {
	[TOA_LAB_NAT64] = { "nat64", 253, 20 },
	[TOA_LAB_TOA6] = { "toa6", 254, 20 },
	[TOA_LAB_TOA4] = { "toa4", 254, 8 },
};

int toa_lab_profile(const char *name, enum toa_lab_profile *profile)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(profiles[0]); i++) {
		if (strcmp(name, profiles[i].name) == 0) {
			*profile = i;
			return 0;
		}
	}
	return -EINVAL;
}

void toa_lab_encode(enum toa_lab_profile profile, const struct in6_addr *address, uint16_t port,
		    struct toa_lab_option *out)
{
	size_t size = profiles[profile].length - ADDRESS_AT;

	memset(out, 0, sizeof(*out));
	out->bytes[0] = profiles[profile].kind;
	out->bytes[1] = profiles[profile].length;
	out->bytes[PORT_AT] = port >> 8;
	out->bytes[PORT_AT + 1] = port & 0xff;
	memcpy(out->bytes + ADDRESS_AT, address->s6_addr + sizeof(address->s6_addr) - size, size);
	out->length = profiles[profile].length;
	out->segments = TOA_LAB_ON_ALL;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int toa_lab_encode_hex(const char *hex, struct toa_lab_option *out)
{
	size_t digits = strlen(hex);
	size_t length = digits / 2;

	if (digits % 2 || length == 0 || length > TOA_LAB_OPTIONS_MAX)
		return -EINVAL;
	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < length; i++) {
		int high = hex_digit(hex[2 * i]);
		int low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		out->bytes[i] = high << 4 | low;
	}
	for (size_t at = 0; at < length; at += out->bytes[at + 1]) {
		if (out->bytes[at] <= KIND_NOP || at + 2 > length || out->bytes[at + 1] < 2 ||
		    at + out->bytes[at + 1] > length)
			return -EINVAL;
	}
	out->length = length;
	out->segments = TOA_LAB_ON_ALL;
	return 0;
}
