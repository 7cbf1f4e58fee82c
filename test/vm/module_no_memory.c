// SPDX-License-Identifier: Apache-2.0
/* Allocations that fail: by no_memory.ko, whose kmem_cache_alloc() has nothing for toa.ko. */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "module_case.h"

/* A real-time kernel takes objects from a reserve of 4,096, and cannot refill it. */
#define RESERVE_GONE 5000
#define REFILLED 1000

/* Of calls that come from toa.ko. */
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
	CHECK(begin, "where toa.ko is");
	CHECK_NUMBER(module_load(no_memory_file, parameters), 0, "no_memory.ko");
}

/* It goes on, with its client or without. */
static bool has_client(int listener, uint16_t port)
{
	struct host host = wire_host(4, port);
	int fd = connection(listener, &host, "", NAT64);
	char said[SAID];
	bool has = !ask(fd, said);

	expect_said(fd, has ? NAT64_SAYS : "-", "the answer");
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
	receive(fd, "abc");
	expect_said(fd, has ? NAT64_SAYS : "-", "after data");
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
	CHECK_NUMBER(counter("drop_no_memory") - dropped, 1, "the first");
	verdicts = counter("verdict_toa") + counter("verdict_none");
	for (i = 0; i < 10; i++)
		CHECK(!has_client(listener, port), "there is no memory");
	CHECK_NUMBER(counter("drop_no_memory") - dropped, 11, "each is counted");
	CHECK_NUMBER(counter("verdict_toa") + counter("verdict_none") - verdicts, 0, "and has no verdict");
	CHECK_NUMBER(counter("repaired") - repaired, 0, "nor is it one that probes missed");
	CHECK_NUMBER(module_remove("no_memory"), 0, "memory again");
	for (i = 0; i < REFILLED && !has_client(listener, port); i++)
		;
	CHECK(has_client(listener, port), "memory again");
	CHECK_NUMBER(counter("objects_allocated") - counter("objects_freed"), 0, "objects");
	CHECK_NUMBER(counter("connections"), 0, "connections");
	close(listener);
}
