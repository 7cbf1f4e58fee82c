/* SPDX-License-Identifier: Apache-2.0 */
/* What a run of the generator did, and the few calls that its two halves share. */
#ifndef TOASCOPE_BENCH_REPORT_H
#define TOASCOPE_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define THREADS_MAX 64
#define PAYLOAD_MAX (1 << 20)

/* What both halves must agree on. */
struct exchange {
	uint16_t port;
	size_t request_bytes;
	size_t response_bytes; /* of the body where the server speaks HTTP */
	int threads;
};

struct report {
	uint64_t connections; /* finished in order, all bytes received */
	uint64_t sent_bytes;
	uint64_t received_bytes;
	uint64_t errors;
	uint64_t cpu_ns; /* of the threads, in user space and kernel */
};

void report_add(struct report *sum, const struct report *part);

/* One JSON object on a line of its own. */
void report_print(const char *role, const struct report *report, double seconds);

/* CPU time of the calling thread since it began, nanoseconds. */
uint64_t thread_cpu_ns(void);

double monotonic_seconds(void);

/* All bytes, or false. */
bool send_all(int fd, const char *bytes, size_t length);

/* Reads up to length bytes, or to the end of the stream, and counts them. False: an error, or 10 s of silence. */
bool receive(int fd, char *buffer, size_t length, size_t *received);

#endif
