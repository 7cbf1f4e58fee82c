/* SPDX-License-Identifier: Apache-2.0 */
/* The server half: accepts with an address buffer, and hands each connection to what serves it. */
#ifndef TOASCOPE_BENCH_SERVER_H
#define TOASCOPE_BENCH_SERVER_H

#include <pthread.h>
#include "report.h"

struct server;

struct server_worker {
	pthread_t thread;
	struct server *server;
	struct report report;
	bool started;
};

/* What a connection is for; buffer has room for PAYLOAD_MAX. It closes fd, and counts in the worker's report. */
typedef void serve_fn(struct server_worker *worker, int fd, char *buffer);

struct server {
	struct exchange exchange;
	serve_fn *serve;
	int listener;
	struct server_worker workers[THREADS_MAX];
};

/*
 * Listens on 127.0.0.1 and serves. The sockets belong to the cgroup that the process is in
 * now: accepted ones take it from the listener. Returns 0 or -errno.
 */
int server_open(struct server *server, const struct exchange *exchange, serve_fn *serve);

/* Listens on that port of 127.0.0.1. The descriptor, or -errno. */
int listen_on(uint16_t port);

/* Answers one request, closes first. */
serve_fn serve_exchange;

/* Stops accepting; the result adds up what all threads did. Clients must have ended before. */
struct report server_close(struct server *server);

#endif
