/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arguments of the gateway: where connections go, which option they get, and which addresses it
 * sends from.
 */
#ifndef TOASCOPE_LAB_ROUTE_H
#define TOASCOPE_LAB_ROUTE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include "toa_option_bytes.h"

/* How a route creates its option. */
enum route_option { OPTION_NONE, OPTION_PROFILE, OPTION_RAW };

struct route {
	uint16_t listen_port;
	uint16_t backend_port;
	enum route_option option;
	enum toa_lab_profile profile;
	uint8_t segments; /* TOA_LAB_ON_* */
	struct toa_lab_option raw;
};

/* A pool of IPv4 source addresses, used in rotation. Host order. */
struct pool {
	uint32_t first;
	uint32_t size;
	uint32_t next;
};

/*
 * Parses LISTENPORT:BACKENDPORT:PROFILE[:SEGMENTS]. PROFILE is nat64, toa6, toa4, none or
 * hex:BYTES; SEGMENTS is ack, data or ack,data. Returns 0 or -EINVAL.
 */
int route_parse(const char *text, struct route *route);

/*
 * Encodes the option for a client of that route; `port` is in host order. False: the client gets
 * none.
 */
bool route_option(const struct route *route, const struct in6_addr *client, uint16_t port,
		  struct toa_lab_option *option);

/* Parses A.B.C.D/LEN, with LEN from 16 to 32. Returns 0 or -EINVAL. */
int pool_parse(const char *text, struct pool *pool);

struct in_addr pool_next(struct pool *pool);

#endif
