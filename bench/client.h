/* SPDX-License-Identifier: Apache-2.0 */
/* The client half: opens connections with a TOA option of its choosing, one request on each. */
#ifndef TOASCOPE_BENCH_CLIENT_H
#define TOASCOPE_BENCH_CLIENT_H

#include "report.h"
#include "source.h"

#define BATCH_MAX 1024

struct client {
	struct exchange exchange;
	const char *request; /* request_bytes of it */
	bool http; /* the response: a head of any length with status 200, then the body, then the end */
	struct source source;
	int batch; /* connections that a thread has open at a time */
};

/* Requests over HTTP, for that path. 0 or -errno. */
int client_use_http(struct client *client, const char *path);

/*
 * Runs until either limit is reached; connections 0: until the time is over. At most rate connections begin in a second,
 * evenly; 0: as many as come. The result adds up all threads.
 */
struct report client_run(const struct client *client, double seconds, uint64_t connections, double rate);

#endif
