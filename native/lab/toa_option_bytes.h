/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of a TOA option: by profile or as given in hex. */
#ifndef TOASCOPE_LAB_TOA_OPTION_BYTES_H
#define TOASCOPE_LAB_TOA_OPTION_BYTES_H

#include <netinet/in.h>
#include <stdint.h>
#include "lab.h"

enum toa_lab_profile {
	TOA_LAB_NAT64, /* kind 253, length 20, IPv6 */
	TOA_LAB_TOA6,  /* kind 254, length 20, IPv6 */
	TOA_LAB_TOA4,  /* kind 254, length 8, IPv4 */
};

/* The profile of that name. Returns 0, or -EINVAL for an unknown one. */
int toa_lab_profile(const char *name, enum toa_lab_profile *profile);

/*
 * Fills out with the option for that client, on all segments; narrow out->segments after.
 * port is in host order. The address for TOA_LAB_TOA4 is the last 4 bytes of address: of a
 * v4-mapped one that is its IPv4 address.
 */
void toa_lab_encode(enum toa_lab_profile profile, const struct in6_addr *address, uint16_t port,
		    struct toa_lab_option *out);

/*
 * Fills out with options given as hex digits, "fd04abcd" for one of kind 253 with two bytes of
 * data; on all segments. Each must carry its length, none may be NOP or EOL (the kernel adds
 * the padding), and together they must fit beside the kernel's own (28 bytes with timestamps).
 * Returns 0, or -EINVAL.
 */
int toa_lab_encode_hex(const char *hex, struct toa_lab_option *out);

#endif
