/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server in the kernel: nfs_server PORT makes nfsd, whose modules must be loaded, serve NFSv4
 * there, and prints {"ready":true}. Before the kernel serves a client, it asks user space which
 * client has this address. For each such request, {"address":"..."} is printed, with the address
 * that kernel_getpeername() returned. At the end of standard input, nfsd ends, and so does this
 * program.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#define NFSD "/proc/fs/nfsd"
#define CHANNEL "/proc/net/rpc/auth.unix.ip/channel"

static int write_text(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);
	int written = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	close(fd);
	return written;
}

static int write_nfsd(const char *file, const char *text)
{
	int written = write_text(file, text);

	if (!written)
		perror(file);
	return written;
}

static int listen_on(int port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	return fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 16) ? -1 : fd;
}

static int serve(int port)
{
	int listener = listen_on(port);
	char descriptor[16];

	if (listener < 0 || unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("nfsd", NFSD, "nfsd", 0, NULL)) {
		perror("nfs_server");
		return 0;
	}
	snprintf(descriptor, sizeof(descriptor), "%d\n", listener);
	/* other versions would need a port mapper; not every kernel knows version 2 */
	write_text(NFSD "/versions", "-2\n");
	return write_nfsd(NFSD "/versions", "-3 +4\n") && write_nfsd(NFSD "/portlist", descriptor) &&
	       write_nfsd(NFSD "/threads", "1\n");
}

int main(int argc, char **argv)
{
	int channel = argc > 1 && serve(atoi(argv[1])) ? open(CHANNEL, O_RDWR | O_CLOEXEC) : -1;
	struct pollfd events[] = { { .fd = channel, .events = POLLIN },
				   { .fd = STDIN_FILENO, .events = POLLIN } };
	char request[256], class[16], address[64];
	ssize_t size;

	if (channel < 0) {
		perror("nfs_server PORT");
		return 1;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	while (poll(events, 2, -1) > 0) {
		if (events[1].revents)
			break;
		size = read(channel, request, sizeof(request) - 1);
		if (size <= 0)
			break;
		request[size] = 0;
		if (sscanf(request, "%15s %63s", class, address) == 2 && strcmp(class, "nfsd") == 0)
			printf("{\"address\":\"%s\"}\n", address);
		fflush(stdout);
	}
	write_nfsd(NFSD "/threads", "0\n");
	return 0;
}
