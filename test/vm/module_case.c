// SPDX-License-Identifier: Apache-2.0
/* Connections of hand-made hosts. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "module_case.h"

int accept_host(int listener, const struct host *host)
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
	      "accept() returns the balancer's address");
	return fd;
}

void end(int fd, struct host *host)
{
	wire_send(wire, host, RST | ACK, no_options, NULL);
	close(fd);
}

void expect_client(int fd, const char *expected, const char *when)
{
	char text[CLIENT_TEXT_SIZE];
	int result = get_client(fd, text);

	CHECK_EQ(result, strcmp(expected, "-") ? 0 : -EINVAL, "%s", when);
	CHECK(!strcmp(text, expected), "%s: %s, expected %s", when, text, expected);
}

void receive(int fd, const char *data)
{
	char bytes[256];

	CHECK_EQ(recv(fd, bytes, strlen(data), MSG_WAITALL), (long long)strlen(data), "data of the host");
}

int connection(int listener, struct host *host, const char *on_syn, const char *on_ack)
{
	if (wire_connect(wire, host, hex_options(on_syn), hex_options(on_ack))) {
		CHECK(0, "no SYN-ACK arrived");
		return -1;
	}
	return accept_host(listener, host);
}

/* In one write, since the kernel parses some files by line, and a line must not be split. */
static void put(const char *path, int mode, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC | mode);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s: %s", path, text);
	close(fd);
}

void write_file(const char *path, const char *text)
{
	put(path, O_TRUNC, text);
}

void append_file(const char *path, const char *text)
{
	put(path, O_APPEND, text);
}
