/* SPDX-License-Identifier: Apache-2.0 */
/* Client sockets, each with its own source address and TOA option. */
#include "source.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Source addresses of 127.128.0.0/16, so many that ports in TIME_WAIT never exhaust them. */
#define SOURCE_NETWORK 0x7f800000U
#define SOURCES 0x10000U

/*
 * 2001:db8:c::/64 and the networks after it. The last four bytes are an address of 10.0.0.0/8, for
 * the profile that has room for IPv4 only.
 */
static const struct in6_addr first_client = {
	.s6_addr = { 0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 10, 0, 0, 0 },
};

struct in6_addr source_client(const struct source *source, uint64_t number)
{
	struct in6_addr address = first_client;
	uint32_t part;

	/*
	 * each client has its own /64, since those of one /64 would be counted as one client; its
	 * last four bytes are its own as well
	 */
	for (int at = 4; at <= 12; at += 8) {
		memcpy(&part, address.s6_addr + at, sizeof(part));
		part = htonl(ntohl(part) + number % source->clients);
		memcpy(address.s6_addr + at, &part, sizeof(part));
	}
	return address;
}

static bool set_toa(const struct source *source, int fd, uint64_t number)
{
	struct toa_lab_option option;
	struct in6_addr address;

	if (!source->lab)
		return true;
	address = source_client(source, number);
	toa_lab_encode(source->profile, &address, 1024 + number % 60000, &option);
	return toa_lab_set(source->lab, fd, &option) == 0;
}

int source_connect(const struct source *source, uint64_t number, uint16_t port)
{
	struct sockaddr_in from = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(SOURCE_NETWORK + number % SOURCES) };
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	/* connect() then chooses the port, for this pair of addresses */
	if (!setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) &&
	    !bind(fd, (struct sockaddr *)&from, sizeof(from)) && set_toa(source, fd, number) &&
	    !connect(fd, (struct sockaddr *)&to, sizeof(to)))
		return fd;
	close(fd);
	return -1;
}
