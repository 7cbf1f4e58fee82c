/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each thread opens a batch of connections, sends a request on each, then reads the responses
 * in the same order until the server closes. No event loop: with the batch it hardly ever waits.
 */
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Sources 127.128.0.0/16: ports in TIME_WAIT never run out. */
#define SOURCE_NETWORK 0x7f800000U
#define SOURCES 0x10000U

/* An HTTP response's status line and header fields: a server's own are a few hundred bytes. */
#define HEAD_MAX 4096

/* 2001:db8:c::/96 and below it 10.0.0.0/8, for the profile that has room for four bytes only. */
static const struct in6_addr first_client = {
	.s6_addr = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0 },
};

struct run {
	const struct client *client;
	double until;
	uint64_t limit; /* number of the first connection that is not to be made; 0: none */
};

struct worker {
	pthread_t thread;
	const struct run *run;
	struct report report;
};

/* Numbers connections over all runs, so that addresses and ports are not used again too soon. */
static _Atomic uint64_t next_number;

static bool set_toa(const struct client *client, int fd, uint64_t number)
{
	struct in6_addr address = first_client;
	struct toa_lab_option option;
	uint32_t host;

	if (!client->lab)
		return true;
	memcpy(&host, address.s6_addr + 12, sizeof(host));
	host = htonl(ntohl(host) + number % client->clients);
	memcpy(address.s6_addr + 12, &host, sizeof(host));
	toa_lab_encode(client->profile, &address, 1024 + number % 60000, &option);
	return toa_lab_set(client->lab, fd, &option) == 0;
}

/* A connection with its request sent, or -1. */
static int begin(const struct client *client, uint64_t number)
{
	struct sockaddr_in source = { .sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(SOURCE_NETWORK + number % SOURCES) };
	struct sockaddr_in server = { .sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				      .sin_port = htons(client->exchange.port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	/* the port is then chosen at connect(), for these two ends */
	if (!setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) &&
	    !bind(fd, (struct sockaddr *)&source, sizeof(source)) && set_toa(client, fd, number) &&
	    !connect(fd, (struct sockaddr *)&server, sizeof(server)) &&
	    send_all(fd, client->request, client->exchange.request_bytes))
		return fd;
	close(fd);
	return -1;
}

/* RFC 9112, section 2.1: the body begins after the first empty line, and here ends with the connection. */
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

/* Has room for one byte more than the response: what ends the reading is the end of the stream, an orderly close. */
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

static void *work(void *argument)
{
	static _Thread_local char buffer[PAYLOAD_MAX + HEAD_MAX + 1];
	struct worker *worker = argument;
	const struct run *run = worker->run;
	uint64_t cpu_ns = thread_cpu_ns();
	int fds[BATCH_MAX];

	while (monotonic_seconds() < run->until) {
		uint64_t first = atomic_fetch_add(&next_number, run->client->batch);
		int count = run->client->batch;

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

struct report client_run(const struct client *client, double seconds, uint64_t connections)
{
	uint64_t first = atomic_load(&next_number);
	struct run run = {
		.client = client,
		.until = monotonic_seconds() + seconds,
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
