// SPDX-License-Identifier: Apache-2.0
/*
 * toa.ko in a guest, by real segments. Arguments: toa.ko, and the vectors: a line each of name, profiles, segment,
 * options, verdict, family, address and port, with tabs between.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "module.h"
#include "wire.h"

#define NAT64 "fd1415b320010db8000000000000000000000042"
#define OTHER "fd1415b320010db8000000000000000000000043"
#define TOA4 "fe0815b3cb007107"
#define CDN4 "1c0701cb007107"
#define NAT64_SAYS "2001:db8::42 5555"
#define TOA4_SAYS "::ffff:203.0.113.7 5555"
#define DEFAULT_PROFILES "nat64,toa6,toa4"
#define SAID 64

static const char *module_file, *vectors_file;
static int wire;

/* Accepts, and compares the address with the host's: it is no other connection's. */
static int accept_host(int listener, const struct host *host)
{
	struct sockaddr_in6 peer;
	socklen_t size = sizeof(peer);
	int fd = accept4(listener, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC);
	const uint8_t *address = peer.sin6_family == AF_INET ?
					 (uint8_t *)&((struct sockaddr_in *)&peer)->sin_addr :
				 host->family == 4 ? peer.sin6_addr.s6_addr + 12 :
						     peer.sin6_addr.s6_addr;

	if (fd < 0)
		err(1, "accept");
	CHECK(peer.sin6_port == htons(host->port) &&
		      !memcmp(address, host->address, host->family == 4 ? 4 : 16),
	      "accept() gives the balancer's address");
	return fd;
}

static void end(int fd, struct host *host)
{
	wire_send(wire, host, RST | ACK, no_options, NULL);
	close(fd);
}

static void expect_said(int fd, const char *should, const char *when)
{
	char said[SAID];
	int result = ask(fd, said);

	CHECK_NUMBER(result, strcmp(should, "-") ? 0 : -EINVAL, "%s", when);
	CHECK(!strcmp(said, should), "%s: %s, should be %s", when, said, should);
}

/* Reads what the host sends, so that it has been acknowledged. */
static void receive(int fd, const char *data)
{
	char bytes[256];

	CHECK_NUMBER(recv(fd, bytes, strlen(data), MSG_WAITALL), (long long)strlen(data), "data of the host");
}

static int connection(int listener, struct host *host, const char *on_syn, const char *on_ack)
{
	if (wire_connect(wire, host, hex_options(on_syn), hex_options(on_ack))) {
		CHECK(0, "no SYN-ACK came");
		return -1;
	}
	return accept_host(listener, host);
}

/* What getsockopt() fails with; 0: it does not. */
static int refusal(int fd, int level, int name)
{
	uint8_t bytes[32];
	socklen_t length = sizeof(bytes);

	return getsockopt(fd, level, name, bytes, &length) ? errno : 0;
}

static void check_refusals(int fd, const char *kind)
{
	uint8_t bytes[32], untouched[32];
	socklen_t length = 19;

	memset(untouched, 0xa5, sizeof(untouched));
	memcpy(bytes, untouched, sizeof(bytes));
	CHECK(getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, bytes, &length) == -1 && errno == EINVAL,
	      "%s: 19 bytes", kind);
	CHECK(!memcmp(bytes, untouched, sizeof(bytes)), "%s: the buffer stays as it was", kind);
	length = sizeof(bytes);
	if (!getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, bytes, &length)) {
		CHECK_NUMBER(length, 20, "%s: of a larger buffer", kind);
		CHECK(!memcmp(bytes + 20, untouched + 20, 12), "%s: no more than 20 bytes are written", kind);
	}
	CHECK_NUMBER(refusal(fd, IPPROTO_IPV6, TOA_SO_GET_LOOKUP), refusal(fd, IPPROTO_IPV6, 4000),
		     "%s: another level", kind);
	CHECK_NUMBER(refusal(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP + 1), ENOPROTOOPT, "%s: another option", kind);
}

static void section5(void)
{
	static const struct {
		const char *name;
		int listens, family;
		bool six_only;
	} kinds[] = {
		{ "AF_INET", AF_INET, 4, false },
		{ "dual-stack, IPv4", AF_INET6, 4, false },
		{ "dual-stack, IPv6", AF_INET6, 6, false },
		{ "IPv6 only", AF_INET6, 6, true },
	};
	static const char *const options[][2] = { { NAT64, NAT64_SAYS }, { TOA4, TOA4_SAYS }, { "", "-" } };
	size_t i, j;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint16_t port;
		int listener = listen_on(kinds[i].listens, kinds[i].six_only, &port);

		for (j = 0; j < sizeof(options) / sizeof(options[0]); j++) {
			struct host host = wire_host(kinds[i].family, port);
			int fd = connection(listener, &host, "", options[j][0]);

			expect_said(fd, options[j][1], kinds[i].name);
			check_refusals(fd, kinds[i].name);
			end(fd, &host);
		}
		close(listener);
	}
}

static void section5_elsewhere(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		checks_failed = 0;
		if (unshare(CLONE_NEWNET))
			err(1, "a network namespace");
		wire = wire_open("wire1");
		section5();
		_exit(checks_failed > 0);
	}
	waitpid(child, &status, 0);
	CHECK_NUMBER(status, 0, "in another network namespace");
}

static void later_segments(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), fd;
	struct host host = wire_host(4, port), forged;

	fd = connection(listener, &host, "", "");
	expect_said(fd, "-", "nothing yet");
	forged = host;
	forged.received += 1000;
	wire_send(wire, &forged, ACK, hex_options(OTHER), NULL);
	forged = host;
	forged.sent += 1 << 24;
	wire_send(wire, &forged, ACK, hex_options(OTHER), "x");
	expect_said(fd, "-", "segments that the kernel throws away");
	wire_send(wire, &host, ACK, hex_options(NAT64), NULL);
	expect_said(fd, NAT64_SAYS, "on an ACK without data");
	wire_send(wire, &host, ACK, hex_options(OTHER), "a");
	expect_said(fd, NAT64_SAYS, "the verdict has fallen");
	end(fd, &host);

	host = wire_host(4, port);
	fd = connection(listener, &host, "", "");
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
	receive(fd, "abc");
	expect_said(fd, NAT64_SAYS, "on the first data");
	end(fd, &host);

	host = wire_host(4, port);
	fd = connection(listener, &host, "", "");
	wire_send(wire, &host, ACK | PUSH, no_options, "abc");
	receive(fd, "abc");
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "def");
	receive(fd, "def");
	expect_said(fd, "-", "after acknowledged data");
	end(fd, &host);

	host = wire_host(4, port);
	fd = connection(listener, &host, "", "");
	shutdown(fd, SHUT_WR);
	host.received++;
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
	receive(fd, "abc");
	expect_said(fd, NAT64_SAYS, "on data after the server's FIN");
	end(fd, &host);
	close(listener);
}

static void on_the_syn(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), fd, family;

	CHECK_NUMBER(parameter_write("profiles", DEFAULT_PROFILES ",cdn4\n"), 0, "profiles");
	for (family = 4; family <= 6; family += 2) {
		struct host host = wire_host(family, port);

		fd = connection(listener, &host, CDN4, "");
		expect_said(fd, "::ffff:203.0.113.7 0", "on the SYN");
		wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
		receive(fd, "abc");
		expect_said(fd, NAT64_SAYS, "a later one wins");
		end(fd, &host);

		host = wire_host(family, port);
		fd = connection(listener, &host, CDN4, "");
		wire_send(wire, &host, ACK | PUSH, no_options, "abc");
		receive(fd, "abc");
		wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "def");
		receive(fd, "def");
		expect_said(fd, "::ffff:203.0.113.7 0", "nothing but the SYN");
		end(fd, &host);

		host = wire_host(family, port);
		fd = connection(listener, &host, NAT64, "");
		expect_said(fd, "-", "nat64 is not looked for on a SYN");
		end(fd, &host);
	}
	CHECK_NUMBER(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
	close(listener);
}

static void set_ipv4(const char *name, int value)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/%s", name);
	file = fopen(path, "we");
	if (!file || fprintf(file, "%d", value) < 0 || fclose(file))
		err(1, "%s", path);
}

static void with_cookies(void)
{
	set_ipv4("tcp_syncookies", 2);
	on_the_syn();
	later_segments();
	set_ipv4("tcp_syncookies", 1);
}

static void fast_open(void)
{
	static const struct {
		const char *on_syn, *on_ack, *says;
	} cases[] = { { NAT64, "", NAT64_SAYS }, { "", NAT64, "-" }, { "", "", "-" } };
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), pending = 16, family;
	size_t i;

	/* server, and no cookie needed */
	set_ipv4("tcp_fastopen", 0x202);
	if (setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &pending, sizeof(pending)))
		err(1, "TCP_FASTOPEN");
	for (family = 4; family <= 6; family += 2) {
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			long long settled = counter("verdict_toa") + counter("verdict_none");
			long long on_syn = counter("option_on_syn");
			struct host host = wire_host(family, port);
			int fd;

			CHECK_NUMBER(wire_syn_data(wire, &host, hex_options(cases[i].on_syn), "abc"), 0,
				     "SYN-ACK");
			fd = accept_host(listener, &host);
			expect_said(fd, i ? "-" : NAT64_SAYS, "on the SYN that made the socket");
			receive(fd, "abc");
			wire_send(wire, &host, ACK, hex_options(cases[i].on_ack), NULL);
			wire_send(wire, &host, ACK, no_options, NULL);
			expect_said(fd, cases[i].says, "after data that was acknowledged");
			end(fd, &host);
			CHECK_NUMBER(counter("option_on_syn") - on_syn, !i, "case %zu", i);
			CHECK_NUMBER(counter("verdict_toa") + counter("verdict_none") - settled, 1,
				     "counted once");
		}
	}
	set_ipv4("tcp_fastopen", 1);
	close(listener);
}

static void trust(void)
{
	static const struct {
		const char *networks, *host;
		int family;
		bool trusted;
	} cases[] = {
		{ "198.18.0.0/16,2001:db8:f::/64", "198.18.1.1", 4, true },
		{ "198.18.0.0/16,2001:db8:f::/64", "198.19.1.1", 4, false },
		{ "10.0.0.0/8, 198.18.3.0/25 ,198.18.0.0/24\n", "198.18.3.127", 4, true },
		{ "10.0.0.0/8,198.18.3.0/25,198.18.0.0/24", "198.18.3.128", 4, false },
		{ "2001:db8:f::/127", "2001:db8:f::1", 6, true },
		{ "2001:db8:f::/127", "2001:db8:f::2", 6, false },
		{ "::/0", "198.18.1.1", 4, false },
		{ "0.0.0.0/0", "198.18.1.1", 4, true },
		{ "0.0.0.0/0", "2001:db8:f::1", 6, false },
		{ "198.18.0.0/16,198.18.1.0/24,198.18.7.0/24", "198.18.3.1", 4, true },
		{ "", "198.18.1.1", 4, true },
	};
	static const char *const wrong[] = { "10.0.0.1/8",  "10.0.0.0",
					     "010.0.0.0/8", "::ffff:10.0.0.0/104",
					     "10.0.0.0/33", "2001:db8::1/64",
					     "x",           "10.0.0.0/8,,10.1.0.0/16",
					     "::/129" };
	char long_list[4090] = "";
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), fd;
	size_t i, length = 0;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host host = wire_host_at(cases[i].family, cases[i].host, port);

		CHECK_NUMBER(parameter_write("trust", *cases[i].networks ? cases[i].networks : "\n"), 0, "%s",
			     cases[i].networks);
		fd = connection(listener, &host, "", NAT64);
		expect_said(fd, cases[i].trusted ? NAT64_SAYS : "-", cases[i].networks);
		end(fd, &host);
	}
	CHECK_NUMBER(parameter_write("trust", "2001:db8::/32,10.0.0.0/8,10.1.0.0/16"), 0, "sorted");
	CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8,2001:db8::/32"), "%s", parameter_read("trust"));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK_NUMBER(parameter_write("trust", wrong[i]), -EINVAL, "%s", wrong[i]);
		CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8,2001:db8::/32"), "what was stays: %s",
		      parameter_read("trust"));
	}
	/* 50 pieces of 200 networks, and the one that counts */
	for (i = 0; i < 50; i++) {
		int j;

		for (j = length = 0; j < 200; j++)
			length += sprintf(long_list + length, "100.%zu.%d.0/24,", 64 + i, j);
		CHECK_NUMBER(parameter_write("trust", long_list), 0, "a piece");
	}
	CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8,2001:db8::/32"), "not before its end");
	CHECK_NUMBER(parameter_write("trust", "198.18.9.0/24"), 0, "the last piece");
	CHECK(strstr(parameter_read("trust"), " more"), "%s", parameter_read("trust"));
	for (i = 8; i < 10; i++) {
		char address[32];
		struct host host;

		snprintf(address, sizeof(address), "198.18.%zu.1", i);
		host = wire_host_at(4, address, port);
		fd = connection(listener, &host, "", NAT64);
		expect_said(fd, i == 9 ? NAT64_SAYS : "-", "10,001 networks");
		end(fd, &host);
	}
	CHECK_NUMBER(parameter_write("trust", "\n"), 0, "nothing");
	close(listener);
}

static void profiles(void)
{
	static const char *const wrong[] = {
		"",
		"nat65",
		"nat64,nat64",
		"own:253:20:ipv6:4:2,nat64",
		"own:8:20:ipv6:4:2",
		"own:252:5:ipv4:4",
		"own:252:41:ipv6:4",
		"own:252:20:ipv5:4:2",
		"own:252:20:ipv6:5:2",
		"own:252:20:ipv6:4:3",
		"own:252:20:ipv6:2:17",
		"nat64:252:20:ipv6:4:2",
		"Own:252:20:ipv6:4:2",
		"own:252:20:ipv6:4:2:ack",
		"own:252:20:ipv6:4:2:syn:x",
		"own:252:20:ipv6",
	};
	size_t i;

	CHECK(!strcmp(parameter_read("profiles"), DEFAULT_PROFILES), "%s", parameter_read("profiles"));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_NUMBER(parameter_write("profiles", *wrong[i] ? wrong[i] : "\n"), -EINVAL, "%s",
			     wrong[i]);
	CHECK(!strcmp(parameter_read("profiles"), DEFAULT_PROFILES), "%s", parameter_read("profiles"));
	CHECK_NUMBER(parameter_write("profiles", "own:252:20:ipv6:2:18:syn, toa4,two:28:7:ipv4:3:-\n"), 0,
		     "own ones");
	CHECK(!strcmp(parameter_read("profiles"), "own:252:20:ipv6:2:18:syn,toa4,two:28:7:ipv4:3:-"), "%s",
	      parameter_read("profiles"));
	CHECK_NUMBER(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
}

/* As ask() spells it. */
static void spell(const char *family, const char *address, const char *port, char text[SAID])
{
	char mapped[INET6_ADDRSTRLEN + 8], usual[INET6_ADDRSTRLEN];
	struct in6_addr bytes;

	strcpy(text, "-");
	if (!*address)
		return;
	snprintf(mapped, sizeof(mapped), "%s%s", !strcmp(family, "4") ? "::ffff:" : "", address);
	if (inet_pton(AF_INET6, mapped, &bytes) != 1)
		errx(1, "%s in the vectors", mapped);
	inet_ntop(AF_INET6, &bytes, usual, sizeof(usual));
	snprintf(text, SAID, "%s %s", usual, port);
}

/* What a kernel throws away itself leaves nothing to ask; only malformed lists may be so. */
static void run_vector(char *line, int family, int listener, uint16_t port)
{
	char *field[8], *at = line;
	struct host host = wire_host(family, port);
	const char *on_syn, *on_ack;
	long long malformed, conflicts;
	char should[SAID];
	int i, fd;
	bool of_syn;

	for (i = 0; i < 8; i++)
		field[i] = strsep(&at, "\t\n");
	if (strcmp(parameter_read("profiles"), field[1]))
		CHECK_NUMBER(parameter_write("profiles", field[1]), 0, "%s", field[1]);
	of_syn = !strcmp(field[2], "syn");
	on_syn = of_syn ? field[3] : "";
	on_ack = of_syn ? "" : field[3];
	malformed = counter("verdict_malformed");
	conflicts = counter("verdict_conflict");
	if (wire_syn(wire, &host, hex_options(on_syn))) {
		CHECK(!strcmp(field[4], "malformed"), "%s: no SYN-ACK", field[0]);
		return;
	}
	wire_send(wire, &host, ACK, hex_options(on_ack), NULL);
	if (!strcmp(field[4], "malformed"))
		wire_send(wire, &host, ACK, no_options, NULL);
	fd = accept_host(listener, &host);
	spell(field[5], field[6], field[7], should);
	expect_said(fd, should, field[0]);
	end(fd, &host);
	if (!strcmp(field[4], "conflict"))
		CHECK_NUMBER(counter("verdict_conflict") - conflicts, 1, "%s", field[0]);
	if (!strcmp(field[4], "none"))
		CHECK_NUMBER(counter("verdict_malformed") - malformed, 0, "%s", field[0]);
}

static void vectors(void)
{
	char line[1024];
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), count = 0;
	FILE *file = fopen(vectors_file, "re");

	if (!file)
		err(1, "%s", vectors_file);
	while (fgets(line, sizeof(line), file)) {
		char copy[sizeof(line)];

		strcpy(copy, line);
		run_vector(line, 4, listener, port);
		run_vector(copy, 6, listener, port);
		count++;
	}
	fclose(file);
	CHECK(count > 100, "%d vectors", count);
	CHECK_NUMBER(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
	close(listener);
}

static void counters(void)
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

		CHECK_NUMBER(parameter_write("trust", *cases[i].trust ? cases[i].trust : "\n"), 0, "trust");
		fd = connection(listener, &host, "", cases[i].option);
		end(fd, &host);
		CHECK_NUMBER(counter(cases[i].name) - before, cases[i].grows, "%s", cases[i].name);
	}
	CHECK_NUMBER(parameter_write("trust", "\n"), 0, "trust");
	toa = vendor_row("syn_recv_sock_toa");
	no_toa = vendor_row("syn_recv_sock_no_toa");
	CHECK_NUMBER(toa, counter("verdict_toa") + counter("verdict_conflict"), "the vendor's row");
	CHECK_NUMBER(no_toa,
		     counter("verdict_none") + counter("verdict_malformed") + counter("verdict_untrusted"),
		     "its other");
	CHECK_NUMBER(vendor_row("getname_toa_ok"), counter("asked_ok"), "its third");
	CHECK_NUMBER(vendor_row("getname_toa_mismatch"), 0, "its fourth");
	CHECK_NUMBER(counter("connections"), 0, "all of them are closed");
	CHECK_NUMBER(counter("objects_allocated"), counter("objects_freed"), "no object is left");
	CHECK_NUMBER(counter("drop_no_memory") + counter("drop_full") + counter("stale"), 0,
		     "nothing is lost");
	close(listener);
}

/* Tools cut the lines at these columns. */
static void vendor_layout(void)
{
	FILE *file = fopen("/proc/net/toa_stats", "re");
	char line[512], should[64];
	int length;

	if (!file)
		err(1, "toa_stats");
	length = snprintf(should, sizeof(should), "%34sCPU0       ", "");
	CHECK(fgets(line, sizeof(line), file) && !strncmp(line, should, length), "the head: %s", line);
	length = snprintf(should, sizeof(should), "syn_recv_sock_toa        :");
	CHECK(fgets(line, sizeof(line), file) && !strncmp(line, should, length) && line[length + 10] == ' ',
	      "the first row: %s", line);
	fclose(file);
}

static void another_connection(void)
{
	struct sockaddr any = { .sa_family = AF_UNSPEC };
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct host host = wire_host(4, port);
	char said[SAID];

	CHECK_NUMBER(ask(fd, said), -EINVAL, "a socket of UDP");
	close(fd);
	fd = connection(listener, &host, "", NAT64);
	wire_send(wire, &host, RST | ACK, no_options, NULL);
	expect_said(fd, NAT64_SAYS, "after the host's reset the application may still ask");
	CHECK_NUMBER(connect(fd, &any, sizeof(any)), 0, "disconnecting");
	CHECK_NUMBER(listen(fd, 1), 0, "listening on what was accepted");
	expect_said(fd, "-", "a socket that is another one now");
	close(fd);
	close(listener);
}

static void failed_loads(void)
{
	CHECK_NUMBER(module_unload(), 0, "unloading");
	CHECK_NUMBER(counter("connections"), -1, "the files are gone");
	CHECK_NUMBER(module_load(module_file, "profiles=nat65"), -EINVAL, "an unknown profile");
	CHECK_NUMBER(module_load(module_file, "trust=10.0.0.0"), -EINVAL, "no network");
	CHECK_NUMBER(module_load(module_file, "trust=10.0.0.0/8 profiles=cdn4,x"), -EINVAL,
		     "a bad one after good ones");
	CHECK_NUMBER(module_load(module_file, "trust=10.0.0.0/8 profiles=cdn4"), 0, "good ones");
	CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8"), "%s", parameter_read("trust"));
	CHECK(!strcmp(parameter_read("profiles"), "cdn4"), "%s", parameter_read("profiles"));
	CHECK_NUMBER(module_unload(), 0, "unloading");
	CHECK_NUMBER(module_load(module_file, "connections=2"), 0, "few connections");
}

static void full(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), fd[3], i;
	struct host host[3];

	for (i = 0; i < 3; i++) {
		host[i] = wire_host(4, port);
		fd[i] = connection(listener, &host[i], "", NAT64);
		expect_said(fd[i], i < 2 ? NAT64_SAYS : "-", "two have room");
	}
	CHECK_NUMBER(counter("drop_full"), 1, "the third");
	end(fd[0], &host[0]);
	host[0] = wire_host(4, port);
	fd[0] = connection(listener, &host[0], "", NAT64);
	expect_said(fd[0], NAT64_SAYS, "one has gone");
	for (i = 0; i < 3; i++)
		end(fd[i], &host[i]);
	close(listener);
	CHECK_NUMBER(module_unload(), 0, "unloading");
}

int main(int count, char **arguments)
{
	static const struct test tests[] = {
		{ "section 5: every listener, every option", section5 },
		{ "section 5 in another network namespace", section5_elsewhere },
		{ "the option on later segments", later_segments },
		{ "the option on the SYN", on_the_syn },
		{ "both with SYN cookies", with_cookies },
		{ "Fast Open", fast_open },
		{ "trust", trust },
		{ "profiles", profiles },
		{ "the vectors", vectors },
		{ "sockets that become others", another_connection },
		{ "counters", counters },
		{ "the vendor's layout", vendor_layout },
		{ "loads that fail", failed_loads },
		{ "more connections than it may have", full },
	};

	if (count != 3)
		errx(2, "usage: module_test TOA.KO VECTORS");
	module_file = arguments[1];
	vectors_file = arguments[2];
	wire = wire_open("wire0");
	if (module_load(module_file, ""))
		err(1, "loading %s", module_file);
	return run_tests("module", tests, sizeof(tests) / sizeof(tests[0]));
}
