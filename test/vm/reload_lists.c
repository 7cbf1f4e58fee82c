// SPDX-License-Identifier: Apache-2.0
/* Long lists of networks: swapped under traffic without a gap, and freed. */
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "module.h"
#include "module_reload.h"
#include "wire.h"

#define NETWORKS 8000
#define NETWORK_BYTES 18 /* of struct network in kernel/toa_trust.c */
#define LIST_MIN 100000
#define PART_MAX 4000
#define TRUSTED "198.18.7.7"
#define STRANGER "198.19.7.7"

/* Networks with this first byte, so that two lists have only the trusted network in common. */
static char *make_list(int first, const char *end)
{
	char *list = malloc(NETWORKS * 20), *at = list;
	int i;

	for (i = 0; i < NETWORKS; i++) {
		if (i == NETWORKS / 2)
			at += sprintf(at, "198.18.0.0/16,");
		at += sprintf(at, "%d.%d.%d.0/24,", first, i / 250, i % 250);
	}
	strcpy(at, end);
	if (strlen(list) < LIST_MIN)
		errx(1, "the list is too short");
	return list;
}

/* Writes a list in parts, and returns the result of the last one. */
static int write_list(const char *list)
{
	char part[PART_MAX + 32] = "";
	int result = 0;

	while (*list && !result) {
		size_t length = strlen(list);

		if (length > PART_MAX)
			length = strchr(list + PART_MAX, ',') - list + 1;
		/* the comma at the end of the previous part is also at the beginning of this one */
		sprintf(part + !!*part, "%.*s", (int)length, list);
		result = parameter_write("trust", part);
		part[0] = ',';
		list += length;
	}
	return result;
}

/* The unreclaimable memory of the kernel, in bytes. */
static long long kernel_memory(void)
{
	FILE *file = fopen("/proc/sys/vm/stat_refresh", "we");
	long long sum = 0, kilobytes;
	char line[256];

	if (!file || fputs("1", file) < 0 || fclose(file))
		err(1, "stat_refresh");
	file = fopen("/proc/meminfo", "re");
	if (!file)
		err(1, "meminfo");
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "SUnreclaim: %lld", &kilobytes) == 1 ||
		    sscanf(line, "VmallocUsed: %lld", &kilobytes) == 1)
			sum += kilobytes * 1024;
	fclose(file);
	return sum;
}

/* The limit is half of the growth that there would be if each list leaked. */
static void check_memory(long long before, const char *when)
{
	long long grown = kernel_memory() - before;

	printf("  %s: %lld kB more\n", when, grown / 1024);
	CHECK(grown < (long long)cycles * NETWORKS * NETWORK_BYTES / 2, "%s: %lld bytes more", when, grown);
}

static void one_connection(int wire, int listener, uint16_t port, const char *from, const char *expected)
{
	struct host host = wire_host_at(4, from, port);
	char text[64];
	int fd;

	if (wire_connect(wire, &host, no_options, hex_options(NAT64)))
		errx(1, "no SYN-ACK");
	fd = accept(listener, NULL, NULL);
	get_client(fd, text);
	CHECK(!strcmp(text, expected), "%s: %s, expected %s", from, text, expected);
	wire_send(wire, &host, RST | ACK, no_options, NULL);
	close(fd);
}

void swap_lists(void)
{
	char *first = make_list(100, "101.0.0.0/8"), *second = make_list(10, "11.0.0.0/8");
	char *wrong = make_list(100, "101.0.0.1/8"), *parameters = malloc(strlen(first) + 7);
	int wire = wire_open("wire1"), listener, status, connections = 0;
	long long before;
	uint16_t port;
	pid_t writer;

	sprintf(parameters, "trust=%s", first);
	listener = listen_on(AF_INET, false, &port);
	CHECK_EQ(module_load(module_file, parameters), 0, "loading with a list of %zu bytes", strlen(first));
	CHECK_EQ(write_list(second), 0, "the other list");
	before = kernel_memory();
	writer = fork();
	if (!writer) {
		int i;

		for (i = 0; i < cycles; i++) {
			CHECK_EQ(write_list(i % 2 ? second : first), 0, "time %d", i);
			if (i % 10 == 5)
				CHECK_EQ(write_list(wrong), -EINVAL, "time %d", i);
		}
		fflush(stdout);
		_exit(checks_failed > 0);
	}
	while (!waitpid(writer, &status, WNOHANG)) {
		one_connection(wire, listener, port, TRUSTED, NAT64_CLIENT);
		one_connection(wire, listener, port, STRANGER, "-");
		connections++;
	}
	CHECK_EQ(status, 0, "the writer");
	CHECK(connections > cycles, "%d connections of each", connections);
	CHECK_EQ(counter("verdict_toa"), connections, "trusted");
	CHECK_EQ(counter("verdict_untrusted"), connections, "untrusted");
	printf("  %d swaps, %d connections\n", cycles, 2 * connections);
	check_memory(before, "after the swaps");
	CHECK_EQ(unload(), 0, "unloading");
	close(listener);
	close(wire);
	free(first);
	free(second);
	free(wrong);
	free(parameters);
}

void load_lists(void)
{
	char *list = make_list(100, "101.0.0.0/8"), *parameters = malloc(strlen(list) + 32);
	long long before = kernel_memory();
	int i;

	for (i = 0; i < cycles; i++) {
		/* every fourth load fails, after the list was read */
		sprintf(parameters, "trust=%s%s", list, i % 4 ? "" : " profiles=nat65");
		CHECK_EQ(module_load(module_file, parameters), i % 4 ? 0 : -EINVAL, "time %d", i);
		if (i % 4)
			CHECK_EQ(unload(), 0, "time %d", i);
	}
	check_memory(before, "after the loads");
	free(list);
	free(parameters);
}
