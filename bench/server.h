/* SPDX-License-Identifier: Apache-2.0 */
/* The server half: accepts with an address buffer, and passes each connection to a callback. */
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

/* Serves a connection, closes fd, and counts in worker->report. buffer has PAYLOAD_MAX bytes. */
typedef void serve_fn(struct server_worker *worker, int fd, char *buffer);

struct server {
	struct exchange exchange;
	serve_fn *serve;
	int listener;
	struct server_worker workers[THREADS_MAX];
};

/*
 * Listens on 127.0.0.1 and serves. The sockets belong to the cgroup that the process is in now,
 * because accepted sockets inherit the listener's cgroup. Returns 0 or -errno.
 */
int server_open(struct server *server, const struct exchange *exchange, serve_fn *serve);

/* Listens on a port of 127.0.0.1. Returns the descriptor or -errno. */
int listen_on(uint16_t port);

/* Answers one request, then closes before the client does. */
serve_fn serve_exchange;

/* Stops accepting, and returns the sum over all threads. The clients must have ended before. */
struct report server_close(struct server *server);

#endif
