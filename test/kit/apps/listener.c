/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that accepts every connection, reads all data, and closes after the client has closed:
 * listener 4|6|dual PORT [TRAIT...]. It prints {"ready":true} when it listens. Each line on its
 * standard input makes it close all open connections. It ends at the end of its standard input.
 *
 *	mptcp        IPPROTO_MPTCP
 *	defer        TCP_DEFER_ACCEPT
 *	fastopen     TCP_FASTOPEN
 *	silent       accepts without an address buffer
 *	greeting     sends GREETING before the client sends
 *	transparent  IP_TRANSPARENT
 *	saving       TCP_SAVE_SYN, with the header of the link layer
 *	reporting    prints {"save":N,"saved":N} for each connection that it accepts: the value of
 *	             TCP_SAVE_SYN, and the number of bytes that TCP_SAVED_SYN returns
 */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define IPPROTO_MPTCP_NUMBER 262
#define BACKLOG 4096
#define DESCRIPTORS 65536
#define DEFER_SECONDS 60
#define GREETING "220 ready\r\n"

static bool open_connections[DESCRIPTORS];

static bool asked(char **names, const char *name)
{
	for (; *names; names++) {
		if (strcmp(*names, name) == 0)
			return true;
	}
	return false;
}

static int make_transparent(int fd, int family)
{
	int on = 1;

	return family == AF_INET ? setsockopt(fd, IPPROTO_IP, IP_TRANSPARENT, &on, sizeof(on)) :
				   setsockopt(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, &on, sizeof(on));
}

static int open_listener(const char *kind, int port, char **names)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int family = strcmp(kind, "4") == 0 ? AF_INET : AF_INET6;
	int fd =
		socket(family, SOCK_STREAM | SOCK_NONBLOCK, asked(names, "mptcp") ? IPPROTO_MPTCP_NUMBER : 0);
	int on = 1, only6 = strcmp(kind, "6") == 0, seconds = DEFER_SECONDS, backlog = BACKLOG;
	int with_link_layer = 2;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
	if (asked(names, "defer") && setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof(seconds)))
		return -1;
	if (asked(names, "fastopen") && setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &backlog, sizeof(backlog)))
		return -1;
	if (asked(names, "transparent") && make_transparent(fd, family))
		return -1;
	if (asked(names, "saving") &&
	    setsockopt(fd, IPPROTO_TCP, TCP_SAVE_SYN, &with_link_layer, sizeof(with_link_layer)))
		return -1;
	if (family == AF_INET ? bind(fd, (struct sockaddr *)&any, sizeof(any)) :
				bind(fd, (struct sockaddr *)&any6, sizeof(any6)))
		return -1;
	return listen(fd, BACKLOG) ? -1 : fd;
}

static void watch(int epoll, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void report_syn(int fd)
{
	int save = -1;
	char saved[256];
	socklen_t save_length = sizeof(save), saved_length = sizeof(saved);

	getsockopt(fd, IPPROTO_TCP, TCP_SAVE_SYN, &save, &save_length);
	if (getsockopt(fd, IPPROTO_TCP, TCP_SAVED_SYN, saved, &saved_length))
		saved_length = 0;
	printf("{\"save\":%d,\"saved\":%u}\n", save, saved_length);
	fflush(stdout);
}

/* Accepts all connections that are waiting. */
static void accept_all(int epoll, int listener, char **names)
{
	struct sockaddr_storage from;
	socklen_t length = sizeof(from);
	bool silent = asked(names, "silent");
	int fd;

	while ((fd = accept(listener, silent ? NULL : (struct sockaddr *)&from, silent ? NULL : &length)) >=
	       0) {
		if (fd >= DESCRIPTORS)
			exit(1);
		open_connections[fd] = true;
		watch(epoll, fd);
		if (asked(names, "greeting"))
			send(fd, GREETING, strlen(GREETING), 0);
		if (asked(names, "reporting"))
			report_syn(fd);
	}
}

/* Reads all data first: with unread data, the kernel would send a RST instead of the FIN. */
static void close_connection(int fd)
{
	char data[4096];

	while (recv(fd, data, sizeof(data), MSG_DONTWAIT) > 0)
		;
	open_connections[fd] = false;
	close(fd);
}

int main(int argc, char **argv)
{
	int listener = argc >= 3 ? open_listener(argv[1], atoi(argv[2]), argv + 3) : -1;
	int epoll = epoll_create1(0);
	struct epoll_event event;
	char data[4096];

	if (listener < 0) {
		perror("listener 4|6|dual PORT [TRAIT...]");
		return 1;
	}
	watch(epoll, listener);
	watch(epoll, STDIN_FILENO);
	puts("{\"ready\":true}");
	fflush(stdout);
	while (epoll_wait(epoll, &event, 1, -1) == 1) {
		if (event.data.fd == listener) {
			accept_all(epoll, listener, argv + 3);
		} else if (event.data.fd == STDIN_FILENO) {
			if (read(STDIN_FILENO, data, sizeof(data)) <= 0)
				return 0;
			accept_all(epoll, listener, argv + 3);
			for (int fd = 0; fd < DESCRIPTORS; fd++) {
				if (open_connections[fd])
					close_connection(fd);
			}
		} else if (read(event.data.fd, data, sizeof(data)) <= 0) {
			close_connection(event.data.fd);
		}
	}
	return 1;
}
