/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-streams server|client CGROUP: connections that carry as much data as they can, half of
 * them to the server and half from it. Each line on standard input is answered with JSON on
 * standard output:
 *   open    listen (server)
 *   close   stop listening, then report (server)
 *   run SECONDS STREAMS [BYTES]
 *           run STREAMS connections for SECONDS, then report (client). With BYTES all of them send
 *           to the server, BYTES per call, and each call makes a segment
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server.h"
#include "source.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define PORT 7001
#define CHUNK (128 << 10)
#define CLIENTS 1000

/* The first byte of a stream: the direction of the others. */
enum direction { UP = 'u', DOWN = 'd' };

struct stream {
	pthread_t thread;
	const struct source *source;
	uint64_t number;
	enum direction direction;
	size_t segment_bytes; /* 0: the kernel decides */
	double until;
	struct report report;
	bool started;
};

static char payload[CHUNK];

/* Reads to the end of the stream. */
static bool drain(int fd, char *buffer, uint64_t *received)
{
	size_t got;

	do {
		if (!receive(fd, buffer, CHUNK, &got))
			return false;
		*received += got;
	} while (got == CHUNK);
	return true;
}

/* Sends until the other end has shut down its direction. */
static bool send_until_closed(int fd, uint64_t *sent)
{
	for (;;) {
		char byte;
		ssize_t got = recv(fd, &byte, 1, MSG_DONTWAIT);

		if (got >= 0)
			return got == 0;
		if ((errno != EAGAIN && errno != EINTR) || !send_all(fd, payload, CHUNK))
			return false;
		*sent += CHUNK;
	}
}

static void serve_stream(struct server_worker *worker, int fd, char *buffer)
{
	struct report *report = &worker->report;
	size_t got;
	char direction;
	bool fine = receive(fd, &direction, 1, &got) && got == 1;

	if (fine && direction == UP)
		fine = drain(fd, buffer, &report->received_bytes);
	else
		fine = fine && send_until_closed(fd, &report->sent_bytes);
	if (fine)
		report->connections++;
	else
		report->errors++;
	close(fd);
}

static bool send_until(struct stream *stream, int fd)
{
	size_t chunk = stream->segment_bytes ?: CHUNK;
	int on = 1;

	if (stream->segment_bytes && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		return false;
	while (monotonic_seconds() < stream->until) {
		if (!send_all(fd, payload, chunk))
			return false;
		stream->report.sent_bytes += chunk;
	}
	return !shutdown(fd, SHUT_WR);
}

static bool receive_until(struct stream *stream, int fd, char *buffer)
{
	size_t got;

	while (monotonic_seconds() < stream->until) {
		if (!receive(fd, buffer, CHUNK, &got) || got < CHUNK)
			return false;
		stream->report.received_bytes += got;
	}
	return !shutdown(fd, SHUT_WR);
}

static void *work(void *argument)
{
	static _Thread_local char buffer[CHUNK];
	struct stream *stream = argument;
	uint64_t cpu_ns = thread_cpu_ns();
	int fd = source_connect(stream->source, stream->number, PORT);
	char direction = stream->direction;
	bool fine = fd >= 0 && send_all(fd, &direction, 1) &&
		    (stream->direction == UP ? send_until(stream, fd) : receive_until(stream, fd, buffer)) &&
		    drain(fd, buffer, &stream->report.received_bytes);

	if (fine)
		stream->report.connections = 1;
	else
		stream->report.errors = 1;
	if (fd >= 0)
		close(fd);
	stream->report.cpu_ns = thread_cpu_ns() - cpu_ns;
	return NULL;
}

/* When this returns, all that was sent has been received: the server closes after its last byte. */
static struct report run(const struct source *source, double seconds, int count, size_t segment_bytes)
{
	static uint64_t number;
	struct stream streams[THREADS_MAX] = {};
	double until = monotonic_seconds() + seconds;
	struct report sum = {};

	for (int i = 0; i < count; i++) {
		struct stream *stream = &streams[i];

		stream->source = source;
		stream->number = number++;
		stream->direction = i % 2 && !segment_bytes ? DOWN : UP;
		stream->segment_bytes = segment_bytes;
		stream->until = until;
		stream->started = !pthread_create(&stream->thread, NULL, work, stream);
	}
	for (int i = 0; i < count; i++) {
		if (streams[i].started)
			pthread_join(streams[i].thread, NULL);
		else
			sum.errors++;
		report_add(&sum, &streams[i].report);
	}
	return sum;
}

static bool execute(const char *line, const struct source *source, struct server *server)
{
	/* one thread for each stream, up to the maximum */
	static const struct exchange exchange = { .port = PORT, .threads = THREADS_MAX };
	struct report report;
	double seconds, began;
	size_t segment_bytes = 0;
	int count, error;

	if (!source && !server->listener && !strcmp(line, "open\n")) {
		error = server_open(server, &exchange, serve_stream);
		if (error) {
			fprintf(stderr, "port %u: %s\n", PORT, strerror(-error));
			return false;
		}
		puts("{\"role\":\"server\",\"listening\":true}");
		fflush(stdout);
		return true;
	}
	if (!source && server->listener && !strcmp(line, "close\n")) {
		report = server_close(server);
		report_print("server", &report, 0);
		server->listener = 0;
		return true;
	}
	if (source && sscanf(line, "run %lf %d %zu", &seconds, &count, &segment_bytes) >= 2 && count > 0 &&
	    count <= THREADS_MAX && segment_bytes <= CHUNK) {
		began = monotonic_seconds();
		report = run(source, seconds, count, segment_bytes);
		report_print("client", &report, monotonic_seconds() - began);
		return true;
	}
	fprintf(stderr, "invalid command in this state: %s", line);
	return false;
}

int main(int argc, char **argv)
{
	static struct server server;
	struct toa_lab lab;
	struct source source = { .lab = &lab, .profile = TOA_LAB_NAT64, .clients = CLIENTS };
	bool serves = argc == 2 && !strcmp(argv[1], "server"), fine = true;
	char line[128];

	if (!serves && (argc != 3 || strcmp(argv[1], "client"))) {
		fputs("usage: toascope-streams server, or: toascope-streams client CGROUP\n", stderr);
		return EXIT_USAGE;
	}
	if (!serves && toa_lab_open(&lab, argv[2])) {
		fputs("cannot load or attach the program that writes TOA\n", stderr);
		return EXIT_FAILED;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	while (fine && fgets(line, sizeof(line), stdin))
		fine = execute(line, serves ? NULL : &source, &server);
	if (!serves)
		toa_lab_close(&lab);
	return fine ? EXIT_DONE : EXIT_FAILED;
}
