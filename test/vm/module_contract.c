// SPDX-License-Identifier: Apache-2.0
/* What applications see: every kind of listener, every kind of option. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "module_case.h"

/* The errno of getsockopt(); 0: it succeeds. */
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
	CHECK(!memcmp(bytes, untouched, sizeof(bytes)), "%s: the buffer is unchanged", kind);
	length = sizeof(bytes);
	if (!getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, bytes, &length)) {
		CHECK_EQ(length, 20, "%s: with a larger buffer", kind);
		CHECK(!memcmp(bytes + 20, untouched + 20, 12), "%s: no more than 20 bytes are written", kind);
	}
	CHECK_EQ(refusal(fd, IPPROTO_IPV6, TOA_SO_GET_LOOKUP), refusal(fd, IPPROTO_IPV6, 4000),
		 "%s: another level", kind);
	CHECK_EQ(refusal(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP + 1), ENOPROTOOPT, "%s: another option", kind);
}

void contract(void)
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
	static const char *const options[][2] = { { NAT64, NAT64_CLIENT },
						  { TOA4, TOA4_CLIENT },
						  { "", "-" } };
	size_t i, j;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint16_t port;
		int listener = listen_on(kinds[i].listens, kinds[i].six_only, &port);

		for (j = 0; j < sizeof(options) / sizeof(options[0]); j++) {
			struct host host = wire_host(kinds[i].family, port);
			int fd = connection(listener, &host, "", options[j][0]);

			expect_client(fd, options[j][1], kinds[i].name);
			check_refusals(fd, kinds[i].name);
			end(fd, &host);
		}
		close(listener);
	}
}

void contract_elsewhere(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		checks_failed = 0;
		if (unshare(CLONE_NEWNET))
			err(1, "a network namespace");
		wire = wire_open("wire1");
		contract();
		_exit(checks_failed > 0);
	}
	waitpid(child, &status, 0);
	CHECK_EQ(status, 0, "in another network namespace");
}

/* With a buffer, or a length, that cannot be written. */
void wrong_pointers(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), fd;
	struct host host = wire_host(4, port);
	long long page = sysconf(_SC_PAGESIZE), answered;
	uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	/* the last byte of the result is in a read-only page, or in no page */
	void *const wrong[] = { pages + page - 19, pages + page, NULL, (void *)1, (void *)-4096L };
	socklen_t *const lengths[] = { NULL, (socklen_t *)1, (socklen_t *)(pages + page) };
	struct toa_nat64_peer peer;
	size_t i;

	if (pages == MAP_FAILED)
		err(1, "mmap");
	*(socklen_t *)(pages + page) = sizeof(peer);
	if (mprotect(pages + page, page, PROT_READ))
		err(1, "mprotect");
	fd = connection(listener, &host, "", NAT64);
	answered = counter("asked_ok");
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		socklen_t length = sizeof(peer);

		CHECK(getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, wrong[i], &length) && errno == EFAULT,
		      "buffer %zu: %s", i, strerror(errno));
		CHECK_EQ(length, sizeof(peer), "buffer %zu: the length is unchanged", i);
	}
	CHECK_EQ(counter("asked_ok"), answered, "not counted as answers");
	for (i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
		CHECK(getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, &peer, lengths[i]) && errno == EFAULT,
		      "length %zu: %s", i, strerror(errno));
	expect_client(fd, NAT64_CLIENT, "a valid buffer");
	munmap(pages, 2 * page);
	end(fd, &host);
	close(listener);
}

/* Other protocols have no such option, and fail as they do without the module. */
void other_protocols(void)
{
	static const struct {
		const char *name;
		int family, type, protocol;
	} kinds[] = {
		{ "UDP", AF_INET, SOCK_DGRAM, 0 },
		{ "UDP over IPv6", AF_INET6, SOCK_DGRAM, 0 },
		{ "raw", AF_INET, SOCK_RAW, IPPROTO_ICMP },
	};
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		int fd = socket(kinds[i].family, kinds[i].type | SOCK_CLOEXEC, kinds[i].protocol);

		CHECK_EQ(refusal(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP), ENOPROTOOPT, "%s", kinds[i].name);
		close(fd);
	}
}

/* The parameter sockopt_ipv4. */
void ipv4_refused(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port);
	struct host first = wire_host(4, port), second = wire_host(4, port);
	int four = connection(listener, &first, "", TOA4), six = connection(listener, &second, "", NAT64);
	long long asked = counter("asked_ipv4");

	CHECK(!strcmp(parameter_read("sockopt_ipv4"), "mapped"), "%s", parameter_read("sockopt_ipv4"));
	expect_client(four, TOA4_CLIENT, "mapped");
	CHECK_EQ(parameter_write("sockopt_ipv4", "maybe"), -EINVAL, "an unknown value");
	CHECK_EQ(parameter_write("sockopt_ipv4", "refuse\n"), 0, "refuse");
	CHECK(!strcmp(parameter_read("sockopt_ipv4"), "refuse"), "%s", parameter_read("sockopt_ipv4"));
	expect_client(four, "-", "an IPv4 client");
	expect_client(six, NAT64_CLIENT, "an IPv6 client");
	CHECK_EQ(counter("asked_ipv4") - asked, 1, "counted");
	CHECK_EQ(parameter_write("sockopt_ipv4", "mapped"), 0, "mapped");
	expect_client(four, TOA4_CLIENT, "mapped again");
	end(four, &first);
	end(six, &second);
	close(listener);
}

/* Go's listeners are MPTCP sockets. A client that speaks plain TCP gets a plain socket. */
void multipath(void)
{
	static const struct {
		int listens, family;
	} kinds[] = { { AF_INET, 4 }, { AF_INET6, 4 }, { AF_INET6, 6 } };
	struct sockaddr_in6 address;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	char text[CLIENT_TEXT_SIZE];
	int client, fd;
	size_t i;

	if (socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP) < 0) {
		skip_test("no MPTCP in this kernel");
		return;
	}
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		socklen_t size = sizeof(address);
		struct host host;
		int listener = socket(kinds[i].listens, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);

		if (listener < 0 || listen(listener, 8) ||
		    getsockname(listener, (struct sockaddr *)&address, &size))
			err(1, "MPTCP");
		host = wire_host(kinds[i].family, ntohs(address.sin6_port));
		fd = connection(listener, &host, "", NAT64);
		expect_client(fd, NAT64_CLIENT, "on the ACK");
		check_refusals(fd, "MPTCP");
		end(fd, &host);
		host = wire_host(kinds[i].family, ntohs(address.sin6_port));
		fd = connection(listener, &host, "", "");
		expect_client(fd, "-", "no option yet");
		wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
		receive(fd, "abc");
		expect_client(fd, NAT64_CLIENT, "on the first data");
		end(fd, &host);
		if (i == 0) {
			/*
			 * a client that speaks MPTCP as well: the kernel does not pass such an
			 * option on to the subflows
			 */
			to.sin_port = address.sin6_port;
			client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
			CHECK_EQ(connect(client, (struct sockaddr *)&to, sizeof(to)), 0, "MPTCP");
			fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			CHECK_EQ(get_client(fd, text), -EOPNOTSUPP, "between hosts that both speak MPTCP");
			close(client);
			close(fd);
		}
		close(listener);
	}
}
