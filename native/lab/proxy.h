/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Proxies the gateway's connections: it accepts them over IPv6 and forwards them over IPv4, in both
 * directions, until both ends have finished.
 */
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
	uint64_t failed;   /* no connection to the backend; the client got an RST */
	uint64_t finished; /* closed in order on both sides */
	uint64_t aborted;  /* reset by either side */
	uint64_t to_backend_bytes;
	uint64_t to_client_bytes;
};

struct proxy {
	int epoll;
	int spare; /* a descriptor that is closed when none are left */
	struct pool pool;
	const struct toa_lab *lab;
	struct connection *dead; /* closed; freed after the current batch of events */
	struct totals totals;
};

/* The owner of an epoll event: the first member of whatever data.ptr points to. */
enum watch_kind { WATCH_STOP, WATCH_LISTENER, WATCH_END };

struct watch {
	enum watch_kind kind;
};

struct listener {
	struct watch watch;
	int fd;
	struct route route;
};

/* Accepts the pending connections of the listener, and starts to connect each to its backend. */
void proxy_accept(struct proxy *proxy, const struct listener *listener);

/* Forwards the bytes of the connection that the watch (WATCH_END) belongs to. */
void proxy_event(struct proxy *proxy, struct watch *watch, uint32_t events);

/* Frees closed connections. Must be called when no pending event can point to one. */
void proxy_sweep(struct proxy *proxy);

#endif
