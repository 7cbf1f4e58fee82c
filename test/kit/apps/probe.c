/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server that makes calls on command: probe 4|6|dual PORT. It prints {"ready":true}, then reads
 * one command per line and answers each with one line of JSON. The answer to a call that fails
 * contains the errno.
 *
 *	accept                            with an address buffer; later commands use the connection
 *	accept-silently                   without an address buffer
 *	read                              waits for data
 *	getpeername
 *	getsockopt LEVEL NAME LENGTH ROOM with a buffer of ROOM bytes, each of them FILL
 *	filter COUNT                      attaches a socket filter of COUNT instructions
 *	groups COUNT                      later commands use a Unix socket, its peer in COUNT groups
 *	close
 */
#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FILL 0xa5

static void print_address(const struct sockaddr_storage *from, socklen_t length)
{
	char text[INET6_ADDRSTRLEN] = "";
	const void *address = &((const struct sockaddr_in6 *)from)->sin6_addr;
	in_port_t port = ((const struct sockaddr_in6 *)from)->sin6_port;

	if (from->ss_family == AF_INET) {
		address = &((const struct sockaddr_in *)from)->sin_addr;
		port = ((const struct sockaddr_in *)from)->sin_port;
	}
	inet_ntop(from->ss_family, address, text, sizeof(text));
	printf("{\"family\":%d,\"length\":%u,\"address\":\"%s\",\"port\":%u}\n", from->ss_family, length,
	       text, ntohs(port));
}

static void print_result(int result)
{
	printf("{\"result\":%d,\"errno\":%d}\n", result, result < 0 ? errno : 0);
}

static void print_option(int fd, int level, int name, socklen_t length, size_t room)
{
	unsigned char *buffer = malloc(room);
	int result;

	memset(buffer, FILL, room);
	errno = 0;
	result = getsockopt(fd, level, name, buffer, &length);
	printf("{\"result\":%d,\"errno\":%d,\"length\":%d,\"bytes\":\"", result, result < 0 ? errno : 0,
	       (int)length);
	for (size_t i = 0; i < room; i++)
		printf("%02x", buffer[i]);
	puts("\"}");
	free(buffer);
}

static int attach_filter(int fd, unsigned short count)
{
	struct sock_filter *code = calloc(count, sizeof(*code));
	struct sock_fprog program = { .len = count, .filter = code };
	int result;

	for (int i = 0; i < count; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, 0x40000 + i);
	result = setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program));
	free(code);
	return result;
}

/* A Unix socket keeps the groups that its peer's process had. */
static int grouped_socket(size_t count)
{
	gid_t *groups = calloc(count, sizeof(*groups));
	int pair[2] = { -1, -1 };

	for (size_t i = 0; i < count; i++)
		groups[i] = 100000 + i;
	if (!setgroups(count, groups))
		socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
	free(groups);
	return pair[0];
}

static int open_listener(const char *kind, int port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 any6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int family = strcmp(kind, "4") == 0 ? AF_INET : AF_INET6;
	int fd = socket(family, SOCK_STREAM, 0);
	int on = 1, only6 = strcmp(kind, "6") == 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only6, sizeof(only6));
	if (family == AF_INET ? bind(fd, (struct sockaddr *)&any, sizeof(any)) :
				bind(fd, (struct sockaddr *)&any6, sizeof(any6)))
		return -1;
	return listen(fd, 16) ? -1 : fd;
}

static void run_command(const char *line, int listener, int *fd)
{
	struct sockaddr_storage from = { 0 };
	socklen_t length = sizeof(from);
	int level, name, size, count;
	char data[256];
	size_t room;

	if (strcmp(line, "accept\n") == 0) {
		*fd = accept(listener, (struct sockaddr *)&from, &length);
		print_address(&from, length);
	} else if (strcmp(line, "accept-silently\n") == 0) {
		*fd = accept(listener, NULL, NULL);
		print_result(*fd < 0 ? -1 : 0);
	} else if (strcmp(line, "read\n") == 0) {
		print_result(read(*fd, data, sizeof(data)));
	} else if (strcmp(line, "getpeername\n") == 0) {
		getpeername(*fd, (struct sockaddr *)&from, &length);
		print_address(&from, length);
	} else if (sscanf(line, "getsockopt %d %d %d %zu", &level, &name, &size, &room) == 4) {
		print_option(*fd, level, name, size, room);
	} else if (sscanf(line, "filter %d", &count) == 1) {
		print_result(attach_filter(*fd, count));
	} else if (sscanf(line, "groups %d", &count) == 1) {
		*fd = grouped_socket(count);
		print_result(*fd < 0 ? -1 : 0);
	} else if (strcmp(line, "close\n") == 0) {
		print_result(close(*fd));
	} else {
		fprintf(stderr, "unknown command: %s", line);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	int listener = argc == 3 ? open_listener(argv[1], atoi(argv[2])) : -1;
	char line[128];
	int fd = -1;

	if (listener < 0) {
		perror("probe 4|6|dual PORT");
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("{\"ready\":true}");
	while (fgets(line, sizeof(line), stdin))
		run_command(line, listener, &fd);
	return 0;
}
