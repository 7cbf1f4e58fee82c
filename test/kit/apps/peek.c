/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Queries the sockets of other processes: peek PORT PID... prints one line of JSON for each
 * connection that these processes have on that local port: the results of getpeername() and
 * getsockopt(IPPROTO_IP, 4096).
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

union address {
	struct sockaddr any;
	struct sockaddr_in ipv4;
	struct sockaddr_in6 ipv6;
};

/* The port has the same offset in both families. */
static int port_of(const union address *address)
{
	return ntohs(address->ipv4.sin_port);
}

static void print_lookup(int fd)
{
	unsigned char answer[20];
	socklen_t length = sizeof(answer);
	int result = getsockopt(fd, IPPROTO_IP, 4096, answer, &length);

	printf("\"result\":%d,\"errno\":%d,\"bytes\":\"", result, result ? errno : 0);
	for (size_t i = 0; !result && i < sizeof(answer); i++)
		printf("%02x", answer[i]);
	puts("\"}");
}

static void print_if_accepted(const char *pid, int fd, int port)
{
	union address local = { 0 }, peer = { 0 };
	socklen_t length = sizeof(local);
	char text[INET6_ADDRSTRLEN];
	int ipv4;

	if (getsockname(fd, &local.any, &length))
		return;
	ipv4 = local.any.sa_family == AF_INET;
	if ((!ipv4 && local.any.sa_family != AF_INET6) || port_of(&local) != port)
		return;
	length = sizeof(peer);
	if (getpeername(fd, &peer.any, &length))
		return;
	inet_ntop(local.any.sa_family, ipv4 ? (void *)&peer.ipv4.sin_addr : (void *)&peer.ipv6.sin6_addr,
		  text, sizeof(text));
	printf("{\"pid\":%s,\"address\":\"%s\",\"port\":%d,", pid, text, port_of(&peer));
	print_lookup(fd);
}

static void peek_into(const char *pid, int port)
{
	int process = syscall(SYS_pidfd_open, atoi(pid), 0);
	struct dirent *entry;
	char path[64];
	DIR *fds;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	fds = process < 0 ? NULL : opendir(path);
	while (fds && (entry = readdir(fds))) {
		int fd = entry->d_name[0] == '.' ?
				 -1 :
				 (int)syscall(SYS_pidfd_getfd, process, atoi(entry->d_name), 0);

		if (fd < 0)
			continue;
		print_if_accepted(pid, fd, port);
		close(fd);
	}
	if (fds)
		closedir(fds);
	close(process);
}

int main(int argc, char **argv)
{
	for (int i = 2; i < argc; i++)
		peek_into(argv[i], atoi(argv[1]));
	return 0;
}
