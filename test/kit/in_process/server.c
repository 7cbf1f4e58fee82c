// SPDX-License-Identifier: Apache-2.0
/* `server HOST PORT`: answers each connection with its client, as attributes in JSON. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "client.h"

int main(int argc, char **argv)
{
	struct sockaddr_in local = { .sin_family = AF_INET };
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	char address[INET6_ADDRSTRLEN];
	in_port_t port;

	if (argc != 3 || inet_pton(AF_INET, argv[1], &local.sin_addr) != 1)
		return 2;
	local.sin_port = htons(atoi(argv[2]));
	if (bind(listener, (struct sockaddr *)&local, sizeof(local)) || listen(listener, 16))
		return 1;
	puts("listening");
	fflush(stdout);
	for (;;) {
		int connection = accept(listener, 0, 0);
		char data;

		if (connection < 0 || read(connection, &data, 1) != 1)
			return 1;
		if (toa_client(connection, address, &port))
			dprintf(connection, "{}\n");
		else
			dprintf(connection, "{\"client.address\":\"%s\",\"client.port\":%d}\n", address,
				port);
		close(connection);
	}
}
