// SPDX-License-Identifier: Apache-2.0
/*
 * A substitute for systemd: notify_receiver PATH receives what daemons send to NOTIFY_SOCKET, and
 * prints one line for each datagram.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
	char state[4096];
	ssize_t length;

	if (argc != 2 || strlen(argv[1]) >= sizeof(at.sun_path))
		return 2;
	strcpy(at.sun_path, argv[1]);
	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at))) {
		perror(argv[1]);
		return 1;
	}
	puts("bound");
	fflush(stdout);
	while ((length = recv(fd, state, sizeof(state) - 1, 0)) >= 0) {
		state[length] = 0;
		puts(state);
		fflush(stdout);
	}
	return 1;
}
