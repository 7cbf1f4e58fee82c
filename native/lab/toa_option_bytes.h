/* SPDX-License-Identifier: Apache-2.0 */
/* Encodes TOA options: by profile, or from hex. */
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

/* Finds the profile of that name. Returns 0, or -EINVAL if there is none. */
int toa_lab_profile(const char *name, enum toa_lab_profile *profile);

/*
 * Encodes the option for that client into `out`, for all segments; narrow out->segments afterwards.
 * `port` is in host order. The address for TOA_LAB_TOA4 is the last 4 bytes of `address`: the IPv4
 * address, if it is v4-mapped.
 */
void toa_lab_encode(enum toa_lab_profile profile, const struct in6_addr *address, uint16_t port,
		    struct toa_lab_option *out);

/*
 * Encodes options given as hex digits into `out`, for all segments: "fd04abcd" is one of kind 253
 * with two bytes of data. Each must contain its length, NOP and EOL are not allowed (the kernel
 * adds the padding), and together they must fit beside those of the kernel (28 bytes with
 * timestamps). Returns 0, or -EINVAL.
 */
int toa_lab_encode_hex(const char *hex, struct toa_lab_option *out);

#endif
