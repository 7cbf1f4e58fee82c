/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's connections: accepted over IPv6, carried on over IPv4, both ways, until both ends are done. */
#ifndef TOASCOPE_LAB_PROXY_H
#define TOASCOPE_LAB_PROXY_H

#include <stdbool.h>
#include <stdint.h>
#include "route.h"
#include "toa_socket.h"

struct connection;

struct totals {
	uint64_t accepted;
	uint64_t connected;
	uint64_t failed;   /* no connection to the backend; the client got a RST */
	uint64_t finished; /* closed in order on both sides */
	uint64_t aborted;  /* reset by either side */
	uint64_t to_backend_bytes;
	uint64_t to_client_bytes;
};

struct proxy {
	int epoll;
	int spare; /* a descriptor to give up when there are none left */
	struct pool pool;
	const struct toa_lab *lab;
	struct connection *dead; /* closed, freed after the events at hand */
	struct totals totals;
};

/* What an epoll event belongs to: the first member of whatever data.ptr points to. */
enum watch_kind { WATCH_STOP, WATCH_LISTENER, WATCH_END };

struct watch {
	enum watch_kind kind;
};

struct listener {
	struct watch watch;
	int fd;
	struct route route;
};

/* Accepts what waits at the listener and starts on its way to the backend. */
void proxy_accept(struct proxy *proxy, const struct listener *listener);

/* Moves bytes of the connection that the watch (WATCH_END) belongs to. */
void proxy_event(struct proxy *proxy, struct watch *watch, uint32_t events);

/* Frees what was closed. To be called when no event at hand can point to it. */
void proxy_sweep(struct proxy *proxy);

#endif
