// SPDX-License-Identifier: Apache-2.0
/* What the module reports: counters and tracepoints. */
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "module_case.h"

void counters(void)
{
	static const struct {
		const char *name, *option, *trust;
		int grows;
	} cases[] = {
		{ "verdict_toa", NAT64, "", 1 },
		{ "verdict_none", "", "", 1 },
		{ "verdict_untrusted", NAT64, "10.0.0.0/8", 1 },
		{ "verdict_conflict", NAT64 TOA4, "", 1 },
		{ "option_on_ack", NAT64, "", 1 },
	};
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), fd;
	long long toa, no_toa;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host host = wire_host(4, port);
		long long before = counter(cases[i].name);

		CHECK_EQ(parameter_write("trust", *cases[i].trust ? cases[i].trust : "\n"), 0, "trust");
		fd = connection(listener, &host, "", cases[i].option);
		end(fd, &host);
		CHECK_EQ(counter(cases[i].name) - before, cases[i].grows, "%s", cases[i].name);
	}
	CHECK_EQ(parameter_write("trust", "\n"), 0, "trust");
	toa = vendor_row("syn_recv_sock_toa");
	no_toa = vendor_row("syn_recv_sock_no_toa");
	CHECK_EQ(toa, counter("verdict_toa") + counter("verdict_conflict"), "the vendor's first row");
	CHECK_EQ(no_toa,
		 counter("verdict_none") + counter("verdict_malformed") + counter("verdict_untrusted"),
		 "the vendor's second row");
	CHECK_EQ(vendor_row("getname_toa_ok"), counter("asked_ok"), "the vendor's third row");
	CHECK_EQ(vendor_row("getname_toa_mismatch"), 0, "the vendor's fourth row");
	CHECK_EQ(counter("connections"), 0, "all connections are closed");
	CHECK_EQ(counter("objects_allocated"), counter("objects_freed"), "no object is left");
	CHECK_EQ(counter("drop_no_memory") + counter("drop_full") + counter("stale"), 0,
		 "nothing was dropped");
	CHECK_EQ(counter("repaired"), 0, "the probes missed nothing");
	close(listener);
}

static int traced(const char *what)
{
	FILE *file = fopen(TRACING "trace", "re");
	char line[512];
	int count = 0;

	if (!file)
		err(1, "trace");
	while (fgets(line, sizeof(line), file))
		count += !!strstr(line, what);
	fclose(file);
	return count;
}

void tracepoints(void)
{
	static const struct {
		const char *on_syn, *on_ack, *on_data, *trace;
	} cases[] = {
		{ "", NAT64, NAT64,
		  "toa_peer: local_port=%u client=[2001:db8::42]:5555 profile=1 segment=2 verdict=1" },
		{ "", "", TOA4,
		  "toa_peer: local_port=%u client=203.0.113.7:5555 profile=3 segment=3 verdict=1" },
		{ "", NAT64 TOA4, NAT64,
		  "toa_peer: local_port=%u client=[2001:db8::42]:5555 profile=1 segment=2 verdict=5" },
		{ CDN4, "", "",
		  "toa_peer: local_port=%u client=203.0.113.7:0 profile=6 segment=1 verdict=1" },
		{ CDN4, TOA4, TOA4,
		  "toa_peer: local_port=%u client=203.0.113.7:5555 profile=3 segment=2 verdict=1" },
		{ CDN4, "", NAT64,
		  "toa_peer: local_port=%u client=[2001:db8::42]:5555 profile=1 segment=3 verdict=5" },
		{ "", "", "", "toa_no_peer: local_port=%u segment=0 verdict=2" },
	};
	size_t i;
	int j;

	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES ",cdn4\n"), 0, "profiles");
	write_file(TRACING "events/toa/enable", "1");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint16_t port;
		int listener = listen_on(AF_INET6, false, &port), fd;
		struct host host = wire_host(4, port);
		char expected[128];

		write_file(TRACING "trace", "\n");
		fd = connection(listener, &host, cases[i].on_syn, cases[i].on_ack);
		for (j = 0; j < 2; j++) {
			wire_send(wire, &host, ACK | PUSH, hex_options(cases[i].on_data), "abc");
			receive(fd, "abc");
		}
		end(fd, &host);
		close(listener);
		snprintf(expected, sizeof(expected), cases[i].trace, port);
		CHECK_EQ(traced(expected), 1, "%s", expected);
		CHECK_EQ(traced("toa_peer:") + traced("toa_no_peer:"), 1, "exactly one event");
	}
	write_file(TRACING "events/toa/enable", "0");
	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
}

/* Tools split the lines at these columns. */
void vendor_layout(void)
{
	FILE *file = fopen("/proc/net/toa_stats", "re");
	char line[512], expected[64];
	int length;

	if (!file)
		err(1, "toa_stats");
	length = snprintf(expected, sizeof(expected), "%34sCPU0       ", "");
	CHECK(fgets(line, sizeof(line), file) && !strncmp(line, expected, length), "the header: %s", line);
	length = snprintf(expected, sizeof(expected), "syn_recv_sock_toa        :");
	CHECK(fgets(line, sizeof(line), file) && !strncmp(line, expected, length) && line[length + 10] == ' ',
	      "the first row: %s", line);
	fclose(file);
}
