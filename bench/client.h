/* SPDX-License-Identifier: Apache-2.0 */
/* The client half: opens connections with TOA options, and sends one request on each. */
#ifndef TOASCOPE_BENCH_CLIENT_H
#define TOASCOPE_BENCH_CLIENT_H

#include "report.h"
#include "source.h"

#define BATCH_MAX 1024

struct client {
	struct exchange exchange;
	const char *request; /* exchange.request_bytes long */
	bool http;           /* expect status 200, a header section of any length, the body, then the end */
	struct source source;
	int batch; /* connections that each thread has open at a time */
};

/* Makes the client send HTTP requests for path. Returns 0 or -errno. */
int client_use_http(struct client *client, const char *path);

/*
 * Runs until either limit is reached; with connections 0, only the time is limited. At most rate
 * connections begin per second, evenly spaced; with rate 0, their number is not limited. The result
 * is the sum over all threads.
 */
struct report client_run(const struct client *client, double seconds, uint64_t connections, double rate);

#endif
