/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A balancer for one connection: toa_client ADDRESS PORT PROFILE ack|data CLIENT CLIENTPORT. It
 * connects to an IPv4 or IPv6 address with the client in a TOA option, and prints its own port as
 * {"ready":true,"port":...}. IPv4 clients are written as ::ffff:a.b.c.d. It sends each byte of its
 * standard input, and closes at the end of it.
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "toa_socket.h"

static int make_option(char **argv, struct toa_lab_option *option)
{
	enum toa_lab_profile profile;
	struct in6_addr client;

	if (toa_lab_profile(argv[3], &profile) || inet_pton(AF_INET6, argv[5], &client) != 1)
		return -1;
	toa_lab_encode(profile, &client, atoi(argv[6]), option);
	option->segments = strcmp(argv[4], "ack") == 0 ? TOA_LAB_ON_ACK : TOA_LAB_ON_DATA;
	return 0;
}

static int connect_to(const struct toa_lab *lab, const char *address, int port,
		      const struct toa_lab_option *option)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 to6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int ipv4 = inet_pton(AF_INET, address, &to.sin_addr);
	int fd = socket(ipv4 ? AF_INET : AF_INET6, SOCK_STREAM, 0);
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (!ipv4 && inet_pton(AF_INET6, address, &to6.sin6_addr) != 1)
		return -1;
	if (toa_lab_set(lab, fd, option))
		return -1;
	if (ipv4 ? connect(fd, (struct sockaddr *)&to, sizeof(to)) :
		   connect(fd, (struct sockaddr *)&to6, sizeof(to6)))
		return -1;
	return fd;
}

int main(int argc, char **argv)
{
	struct toa_lab_option option;
	struct sockaddr_in6 local;
	socklen_t length = sizeof(local);
	struct toa_lab lab;
	char byte;
	int fd;

	if (argc != 7 || make_option(argv, &option)) {
		fputs("usage: toa_client ADDRESS PORT nat64|toa6|toa4 ack|data CLIENT CLIENTPORT\n", stderr);
		return 2;
	}
	if (toa_lab_open(&lab, NULL))
		return 1;
	fd = connect_to(&lab, argv[1], atoi(argv[2]), &option);
	/* the port has the same offset in both families */
	if (fd < 0 || getsockname(fd, (struct sockaddr *)&local, &length)) {
		perror(argv[1]);
		return 1;
	}
	printf("{\"ready\":true,\"port\":%u}\n", ntohs(local.sin6_port));
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) == 1 && send(fd, &byte, 1, MSG_NOSIGNAL) == 1)
		;
	close(fd);
	toa_lab_close(&lab);
	return 0;
}
