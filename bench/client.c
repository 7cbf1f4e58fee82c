/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each thread opens a batch of connections, sends a request on each, then reads the responses in
 * the same order until the server closes. There is no event loop, because with a batch open a
 * thread hardly ever waits.
 */
#include "client.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Limit for an HTTP response's status line and header fields; servers send a few hundred bytes. */
#define HEAD_MAX 4096

#define PACED_BATCH 4

struct run {
	const struct client *client;
	double began;
	double until;
	double rate;    /* connections per second; 0: no limit */
	uint64_t first; /* number of the first connection */
	uint64_t limit; /* number after that of the last connection; 0: no limit */
};

struct worker {
	pthread_t thread;
	const struct run *run;
	struct report report;
};

/* Numbers connections across all runs, so that addresses and ports are not reused too soon. */
static _Atomic uint64_t next_number;

/* Opens a connection and sends its request. Returns the descriptor, or -1. */
static int begin(const struct client *client, uint64_t number)
{
	int fd = source_connect(&client->source, number, client->exchange.port);

	if (fd < 0 || send_all(fd, client->request, client->exchange.request_bytes))
		return fd;
	close(fd);
	return -1;
}

/*
 * RFC 9112, section 2.1: the body begins after the first empty line. It ends with the connection,
 * because the request says "Connection: close".
 */
static bool is_whole(const struct client *client, const char *response, size_t length)
{
	static const char status[] = "HTTP/1.1 200 ", empty_line[] = "\r\n\r\n";
	const char *head_end;

	if (!client->http)
		return length == client->exchange.response_bytes;
	if (length < sizeof(status) - 1 || memcmp(response, status, sizeof(status) - 1))
		return false;
	head_end = memmem(response, length, empty_line, sizeof(empty_line) - 1);
	return head_end && response + length - (head_end + sizeof(empty_line) - 1) ==
				   (ptrdiff_t)client->exchange.response_bytes;
}

/*
 * The buffer has room for one byte more than the response, so that reading ends only at the end of
 * the stream, which is an orderly close.
 */
static void finish(struct worker *worker, int fd, char *buffer)
{
	const struct client *client = worker->run->client;
	const struct exchange *exchange = &client->exchange;
	size_t most = exchange->response_bytes + (client->http ? HEAD_MAX : 0), received = 0;

	if (fd < 0 || !receive(fd, buffer, most + 1, &received) || received > most ||
	    !is_whole(client, buffer, received)) {
		worker->report.errors++;
	} else {
		worker->report.connections++;
		worker->report.sent_bytes += exchange->request_bytes;
	}
	worker->report.received_bytes += received;
	if (fd >= 0)
		close(fd);
}

/* Sleeps until the connection of that number is due. */
static void wait_until_due(const struct run *run, uint64_t number)
{
	double due = run->began + (number - run->first) / run->rate;
	struct timespec at = { .tv_sec = due, .tv_nsec = (due - (time_t)due) * 1e9 };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static void *work(void *argument)
{
	static _Thread_local char buffer[PAYLOAD_MAX + HEAD_MAX + 1];
	struct worker *worker = argument;
	const struct run *run = worker->run;
	uint64_t cpu_ns = thread_cpu_ns();
	int fds[BATCH_MAX], batch = run->client->batch;

	/* small batches keep a limited rate even */
	if (run->rate && batch > PACED_BATCH)
		batch = PACED_BATCH;
	while (monotonic_seconds() < run->until) {
		uint64_t first = atomic_fetch_add(&next_number, batch);
		int count = batch;

		if (run->rate)
			wait_until_due(run, first);
		if (run->limit && first >= run->limit)
			break;
		if (run->limit && run->limit - first < (uint64_t)count)
			count = run->limit - first;
		for (int i = 0; i < count; i++)
			fds[i] = begin(run->client, first + i);
		for (int i = 0; i < count; i++)
			finish(worker, fds[i], buffer);
	}
	worker->report.cpu_ns = thread_cpu_ns() - cpu_ns;
	return NULL;
}

int client_use_http(struct client *client, const char *path)
{
	static char request[1024];
	int length = snprintf(request, sizeof(request),
			      "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: toascope-load\r\n"
			      "Accept: */*\r\nConnection: close\r\n\r\n",
			      path);

	if (length < 0 || (size_t)length >= sizeof(request))
		return -ENAMETOOLONG;
	client->request = request;
	client->exchange.request_bytes = length;
	client->http = true;
	return 0;
}

struct report client_run(const struct client *client, double seconds, uint64_t connections, double rate)
{
	uint64_t first = atomic_load(&next_number);
	double began = monotonic_seconds();
	struct run run = {
		.client = client,
		.began = began,
		.until = began + seconds,
		.rate = rate,
		.first = first,
		.limit = connections ? first + connections : 0,
	};
	struct worker workers[THREADS_MAX] = {};
	struct report sum = {};

	for (int i = 0; i < client->exchange.threads; i++) {
		workers[i].run = &run;
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			workers[i].run = NULL;
	}
	for (int i = 0; i < client->exchange.threads; i++) {
		if (workers[i].run)
			pthread_join(workers[i].thread, NULL);
		else
			sum.errors++;
		report_add(&sum, &workers[i].report);
	}
	return sum;
}
