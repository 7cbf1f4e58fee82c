/* SPDX-License-Identifier: Apache-2.0 */
/* Client sockets, each with a source address and a TOA option of its own. */
#ifndef TOASCOPE_BENCH_SOURCE_H
#define TOASCOPE_BENCH_SOURCE_H

#include <stdbool.h>
#include "toa_socket.h"

struct source {
	const struct toa_lab *lab; /* NULL: no TOA */
	enum toa_lab_profile profile;
	uint32_t clients; /* so many distinct TOA addresses, one after the other */
};

/* The client of that number. */
struct in6_addr source_client(const struct source *source, uint64_t number);

/* A connection to that port of 127.0.0.1, or -1. Numbers that follow each other have different addresses and ports. */
int source_connect(const struct source *source, uint64_t number, uint16_t port);

#endif
