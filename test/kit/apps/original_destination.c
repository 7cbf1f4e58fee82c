/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a transparent proxy does behind a REDIRECT rule: original_destination PORT. It listens
 * dual-stack, and for each connection prints {"byPeer":"ADDRESS PORT","byLocal":"ADDRESS PORT"}:
 * the destination that the client connected to (SO_ORIGINAL_DST), queried by the family of the
 * peer's address, as proxies do, and by the family of the local address. It prints "errno N" if the
 * kernel has none. It prints {"ready":true} when it listens, and ends at the end of standard input.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SO_ORIGINAL_DST 80 /* include/uapi/linux/netfilter_ipv4.h; IP6T_SO_ORIGINAL_DST is 80 as well */

static int is_ipv4(const struct sockaddr_storage *address)
{
	const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)address;

	return address->ss_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&six->sin6_addr);
}

static void original(int fd, int ipv4, char *text, size_t size)
{
	struct sockaddr_storage found = {};
	socklen_t length = sizeof(found);
	char address[INET6_ADDRSTRLEN];

	if (getsockopt(fd, ipv4 ? IPPROTO_IP : IPPROTO_IPV6, SO_ORIGINAL_DST, &found, &length)) {
		snprintf(text, size, "errno %d", errno);
		return;
	}
	if (found.ss_family == AF_INET) {
		const struct sockaddr_in *four = (const struct sockaddr_in *)&found;

		inet_ntop(AF_INET, &four->sin_addr, address, sizeof(address));
		snprintf(text, size, "%s %d", address, ntohs(four->sin_port));
	} else {
		const struct sockaddr_in6 *six = (const struct sockaddr_in6 *)&found;

		inet_ntop(AF_INET6, &six->sin6_addr, address, sizeof(address));
		snprintf(text, size, "%s %d", address, ntohs(six->sin6_port));
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6,
				    .sin6_port = htons(argc > 1 ? atoi(argv[1]) : 0) };
	int on = 1, off = 0, listener = socket(AF_INET6, SOCK_STREAM, 0);
	struct pollfd waiting[] = { { .fd = listener, .events = POLLIN }, { .fd = 0, .events = POLLIN } };

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 16))
		return 1;
	puts("{\"ready\":true}");
	fflush(stdout);
	while (poll(waiting, 2, -1) > 0 && !waiting[1].revents) {
		struct sockaddr_storage peer = {}, local = {};
		socklen_t peer_length = sizeof(peer), local_length = sizeof(local);
		char by_peer[80], by_local[80], byte;
		int fd = accept(listener, 0, 0);

		if (fd < 0)
			return 1;
		/* the option can be on the first data segment */
		if (read(fd, &byte, 1) == 1) {
			getpeername(fd, (struct sockaddr *)&peer, &peer_length);
			getsockname(fd, (struct sockaddr *)&local, &local_length);
			original(fd, is_ipv4(&peer), by_peer, sizeof(by_peer));
			original(fd, is_ipv4(&local), by_local, sizeof(by_local));
			printf("{\"byPeer\":\"%s\",\"byLocal\":\"%s\"}\n", by_peer, by_local);
			fflush(stdout);
		}
		close(fd);
	}
	return 0;
}
