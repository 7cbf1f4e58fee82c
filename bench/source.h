/* SPDX-License-Identifier: Apache-2.0 */
/* Client sockets, each with its own source address and TOA option. */
#ifndef TOASCOPE_BENCH_SOURCE_H
#define TOASCOPE_BENCH_SOURCE_H

#include <stdbool.h>
#include "toa_socket.h"

struct source {
	const struct toa_lab *lab; /* NULL: no TOA */
	enum toa_lab_profile profile;
	uint32_t clients; /* number of distinct TOA addresses, used in rotation */
};

/* The client's address in the TOA option of the connection with that number. */
struct in6_addr source_client(const struct source *source, uint64_t number);

/*
 * Connects to a port of 127.0.0.1. Returns the descriptor or -1. Consecutive numbers use different
 * addresses and ports.
 */
int source_connect(const struct source *source, uint64_t number, uint16_t port);

#endif
