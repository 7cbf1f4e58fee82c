// SPDX-License-Identifier: Apache-2.0
/* Allocations that fail: no_memory.ko makes kmem_cache_alloc() return NULL to toa.ko. */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "module_case.h"

/* On a real-time kernel, objects come from a reserve of 4,096, which cannot be refilled then. */
#define RESERVE_GONE 5000
#define REFILLED 1000

/* Makes those allocations fail that are called from toa.ko. */
static void fail_allocations(void)
{
	FILE *file = fopen("/proc/modules", "re");
	unsigned long long begin = 0, at;
	char line[512], name[64], parameters[128];
	unsigned int size, own = 0;

	if (!file)
		err(1, "modules");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %u %*s %*s %*s %llx", name, &size, &at) == 3 && !strcmp(name, "toa")) {
			begin = at;
			own = size;
		}
	fclose(file);
	snprintf(parameters, sizeof(parameters), "begin=%llu end=%llu", begin, begin + own);
	CHECK(begin, "the address of toa.ko");
	CHECK_EQ(module_load(no_memory_file, parameters), 0, "no_memory.ko");
}

/* Makes a connection, which works with its client or without. Returns whether it has a client. */
static bool has_client(int listener, uint16_t port)
{
	struct host host = wire_host(4, port);
	int fd = connection(listener, &host, "", NAT64);
	char text[CLIENT_TEXT_SIZE];
	bool has = !get_client(fd, text);

	expect_client(fd, has ? NAT64_CLIENT : "-", "after the handshake");
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
	receive(fd, "abc");
	expect_client(fd, has ? NAT64_CLIENT : "-", "after data");
	end(fd, &host);
	return has;
}

void no_memory(void)
{
	long long dropped = counter("drop_no_memory"), repaired = counter("repaired"), verdicts;
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), i;

	fail_allocations();
	for (i = 0; i < RESERVE_GONE && has_client(listener, port); i++)
		;
	CHECK_EQ(counter("drop_no_memory") - dropped, 1, "the first failure");
	verdicts = counter("verdict_toa") + counter("verdict_none");
	for (i = 0; i < 10; i++)
		CHECK(!has_client(listener, port), "without memory");
	CHECK_EQ(counter("drop_no_memory") - dropped, 11, "each failure is counted");
	CHECK_EQ(counter("verdict_toa") + counter("verdict_none") - verdicts, 0, "none has a verdict");
	CHECK_EQ(counter("repaired") - repaired, 0, "none counts as missed by the probes");
	CHECK_EQ(module_remove("no_memory"), 0, "memory again");
	for (i = 0; i < REFILLED && !has_client(listener, port); i++)
		;
	CHECK(has_client(listener, port), "memory again");
	CHECK_EQ(counter("objects_allocated") - counter("objects_freed"), 0, "objects");
	CHECK_EQ(counter("connections"), 0, "connections");
	close(listener);
}
