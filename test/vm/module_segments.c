// SPDX-License-Identifier: Apache-2.0
/* The segments that carry the option. */
#include <err.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "module_case.h"

void later_segments(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), fd;
	struct host host = wire_host(4, port), forged;

	fd = connection(listener, &host, "", "");
	expect_client(fd, "-", "no option yet");
	forged = host;
	forged.received += 1000;
	wire_send(wire, &forged, ACK, hex_options(OTHER), NULL);
	forged = host;
	forged.sent += 1 << 24;
	wire_send(wire, &forged, ACK, hex_options(OTHER), "x");
	expect_client(fd, "-", "segments that the kernel discards");
	wire_send(wire, &host, ACK, hex_options(NAT64), NULL);
	expect_client(fd, NAT64_CLIENT, "on an ACK without data");
	wire_send(wire, &host, ACK, hex_options(OTHER), "a");
	expect_client(fd, NAT64_CLIENT, "the verdict is final");
	end(fd, &host);

	host = wire_host(4, port);
	fd = connection(listener, &host, "", "");
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
	receive(fd, "abc");
	expect_client(fd, NAT64_CLIENT, "on the first data");
	end(fd, &host);

	host = wire_host(4, port);
	fd = connection(listener, &host, "", "");
	wire_send(wire, &host, ACK | PUSH, no_options, "abc");
	receive(fd, "abc");
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "def");
	receive(fd, "def");
	expect_client(fd, "-", "after acknowledged data");
	end(fd, &host);

	host = wire_host(4, port);
	fd = connection(listener, &host, "", "");
	shutdown(fd, SHUT_WR);
	host.received++;
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
	receive(fd, "abc");
	expect_client(fd, NAT64_CLIENT, "on data after the server's FIN");
	end(fd, &host);
	close(listener);
}

void on_the_syn(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), fd, family;

	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES ",cdn4\n"), 0, "profiles");
	for (family = 4; family <= 6; family += 2) {
		struct host host = wire_host(family, port);

		fd = connection(listener, &host, CDN4, "");
		expect_client(fd, "::ffff:203.0.113.7 0", "on the SYN");
		wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
		receive(fd, "abc");
		expect_client(fd, NAT64_CLIENT, "a later option wins");
		end(fd, &host);

		host = wire_host(family, port);
		fd = connection(listener, &host, CDN4, "");
		wire_send(wire, &host, ACK | PUSH, no_options, "abc");
		receive(fd, "abc");
		wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "def");
		receive(fd, "def");
		expect_client(fd, "::ffff:203.0.113.7 0", "only the SYN");
		end(fd, &host);

		host = wire_host(family, port);
		fd = connection(listener, &host, NAT64, "");
		expect_client(fd, "-", "nat64 is not read on a SYN");
		end(fd, &host);
	}
	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
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

void with_cookies(void)
{
	set_ipv4("tcp_syncookies", 2);
	on_the_syn();
	later_segments();
	set_ipv4("tcp_syncookies", 1);
}

void fast_open(void)
{
	static const struct {
		const char *on_syn, *on_ack, *client;
	} cases[] = { { NAT64, "", NAT64_CLIENT }, { "", NAT64, "-" }, { "", "", "-" } };
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), pending = 16, family;
	size_t i;

	/* enabled for servers, without cookies */
	set_ipv4("tcp_fastopen", 0x202);
	if (setsockopt(listener, IPPROTO_TCP, TCP_FASTOPEN, &pending, sizeof(pending)))
		err(1, "TCP_FASTOPEN");
	for (family = 4; family <= 6; family += 2) {
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			long long verdicts = counter("verdict_toa") + counter("verdict_none");
			long long on_syn = counter("option_on_syn");
			struct host host = wire_host(family, port);
			int fd;

			CHECK_EQ(wire_syn_data(wire, &host, hex_options(cases[i].on_syn), "abc"), 0,
				 "SYN-ACK");
			fd = accept_host(listener, &host);
			expect_client(fd, i ? "-" : NAT64_CLIENT, "on the SYN that created the socket");
			receive(fd, "abc");
			wire_send(wire, &host, ACK, hex_options(cases[i].on_ack), NULL);
			wire_send(wire, &host, ACK, no_options, NULL);
			expect_client(fd, cases[i].client, "after data that was acknowledged");
			end(fd, &host);
			CHECK_EQ(counter("option_on_syn") - on_syn, !i, "case %zu", i);
			CHECK_EQ(counter("verdict_toa") + counter("verdict_none") - verdicts, 1,
				 "counted once");
		}
	}
	set_ipv4("tcp_fastopen", 1);
	close(listener);
}

void another_connection(void)
{
	struct sockaddr any = { .sa_family = AF_UNSPEC };
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct host host = wire_host(4, port);
	char text[CLIENT_TEXT_SIZE];

	CHECK_EQ(get_client(fd, text), -ENOPROTOOPT, "a UDP socket");
	close(fd);
	fd = connection(listener, &host, "", NAT64);
	wire_send(wire, &host, RST | ACK, no_options, NULL);
	expect_client(fd, NAT64_CLIENT, "the client is still known after the host's reset");
	CHECK_EQ(connect(fd, &any, sizeof(any)), 0, "disconnecting");
	CHECK_EQ(listen(fd, 1), 0, "listening on what was accepted");
	expect_client(fd, "-", "a socket that is a listener now");
	close(fd);
	close(listener);
}
