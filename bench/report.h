/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a run of the load generator, and calls that both its halves use. */
#ifndef TOASCOPE_BENCH_REPORT_H
#define TOASCOPE_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADS_MAX 64
#define PAYLOAD_MAX (1 << 20)

/* Parameters that both halves must agree on. */
struct exchange {
	uint16_t port;
	size_t request_bytes;
	size_t response_bytes; /* with HTTP, of the body */
	int threads;
};

struct report {
	uint64_t connections; /* closed in an orderly way, with all bytes received */
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t errors;
	uint64_t cpu_ns; /* of all threads, in user space and in the kernel */
};

void report_add(struct report *sum, const struct report *part);

/* Prints the report as one line of JSON. */
void report_print(const char *role, const struct report *report, double seconds);

/* CPU time of the calling thread since its start, in nanoseconds. */
uint64_t thread_cpu_ns(void);

double monotonic_seconds(void);

/* Sends all bytes. Returns false on an error. */
bool send_all(int fd, const char *bytes, size_t length);

/*
 * Reads up to length bytes or to the end of the stream, and counts them. Returns false on an error,
 * or after 10 s of silence.
 */
bool receive(int fd, char *buffer, size_t length, size_t *received);

#endif
