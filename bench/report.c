/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a run of the load generator, and calls that both its halves use. */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#define SILENCE_MS 10000

void report_add(struct report *sum, const struct report *part)
{
	sum->connections += part->connections;
	sum->sent_bytes += part->sent_bytes;
	sum->received_bytes += part->received_bytes;
	sum->errors += part->errors;
	sum->cpu_ns += part->cpu_ns;
}

void report_print(const char *role, const struct report *report, double seconds)
{
	printf("{\"role\":\"%s\",\"connections\":%" PRIu64
	       ",\"seconds\":%.6f,\"rate\":%.1f,\"sent_bytes\":%" PRIu64 ",\"received_bytes\":%" PRIu64
	       ",\"errors\":%" PRIu64 ",\"cpu_seconds\":%.6f}\n",
	       role, report->connections, seconds, seconds > 0 ? report->connections / seconds : 0,
	       report->sent_bytes, report->received_bytes, report->errors, report->cpu_ns / 1e9);
	fflush(stdout);
}

uint64_t thread_cpu_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

double monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

bool send_all(int fd, const char *bytes, size_t length)
{
	while (length) {
		ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return false;
		bytes += sent;
		length -= sent;
	}
	return true;
}

bool receive(int fd, char *buffer, size_t length, size_t *received)
{
	struct pollfd waiting = { .fd = fd, .events = POLLIN };

	*received = 0;
	while (*received < length) {
		/* data is usually there already: the limit on silence then costs no extra call */
		ssize_t got = recv(fd, buffer, length - *received, MSG_DONTWAIT);

		if (got == 0)
			return true;
		if (got > 0)
			*received += got;
		else if (errno == EAGAIN && poll(&waiting, 1, SILENCE_MS) == 0)
			return false;
		else if (errno != EAGAIN && errno != EINTR)
			return false;
	}
	return true;
}
