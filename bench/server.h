/* SPDX-License-Identifier: Apache-2.0 */
/* The server half: accepts with an address buffer, answers one request, closes first. */
#ifndef TOASCOPE_BENCH_SERVER_H
#define TOASCOPE_BENCH_SERVER_H

#include <pthread.h>
#include "report.h"

struct server_worker {
	pthread_t thread;
	struct server *server;
	struct report report;
	bool started;
};

struct server {
	struct exchange exchange;
	int listener;
	struct server_worker workers[THREADS_MAX];
};

/*
 * Listens on 127.0.0.1 and serves. The sockets belong to the cgroup that the process is in
 * now: accepted ones take it from the listener. Returns 0 or -errno.
 */
int server_open(struct server *server, const struct exchange *exchange);

/* Stops accepting; the result adds up what all threads did. Clients must have ended before. */
struct report server_close(struct server *server);

#endif
