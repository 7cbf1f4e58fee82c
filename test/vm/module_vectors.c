// SPDX-License-Identifier: Apache-2.0
/* The option vectors as segments, over IPv4 and IPv6. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "module_case.h"

/* Formats a client as get_client() does. */
static void format_client(const char *family, const char *address, const char *port,
			  char text[CLIENT_TEXT_SIZE])
{
	char mapped[INET6_ADDRSTRLEN + 8], usual[INET6_ADDRSTRLEN];
	struct in6_addr bytes;

	strcpy(text, "-");
	if (!*address)
		return;
	snprintf(mapped, sizeof(mapped), "%s%s", !strcmp(family, "4") ? "::ffff:" : "", address);
	if (inet_pton(AF_INET6, mapped, &bytes) != 1)
		errx(1, "%s in the vectors", mapped);
	inet_ntop(AF_INET6, &bytes, usual, sizeof(usual));
	snprintf(text, CLIENT_TEXT_SIZE, "%s %s", usual, port);
}

/* There is no connection if the kernel itself discards a list; only malformed lists can be such. */
static void run_vector(char *line, int family, int listener, uint16_t port)
{
	char *field[8], *at = line;
	struct host host = wire_host(family, port);
	const char *on_syn, *on_ack;
	long long malformed, conflicts;
	char expected[CLIENT_TEXT_SIZE];
	int i, fd;
	bool of_syn;

	for (i = 0; i < 8; i++)
		field[i] = strsep(&at, "\t\n");
	if (strcmp(parameter_read("profiles"), field[1]))
		CHECK_EQ(parameter_write("profiles", field[1]), 0, "%s", field[1]);
	of_syn = !strcmp(field[2], "syn");
	on_syn = of_syn ? field[3] : "";
	on_ack = of_syn ? "" : field[3];
	malformed = counter("verdict_malformed");
	conflicts = counter("verdict_conflict");
	if (wire_syn(wire, &host, hex_options(on_syn))) {
		CHECK(!strcmp(field[4], "malformed"), "%s: no SYN-ACK", field[0]);
		return;
	}
	wire_send(wire, &host, ACK, hex_options(on_ack), NULL);
	if (!strcmp(field[4], "malformed"))
		wire_send(wire, &host, ACK, no_options, NULL);
	fd = accept_host(listener, &host);
	format_client(field[5], field[6], field[7], expected);
	expect_client(fd, expected, field[0]);
	end(fd, &host);
	if (!strcmp(field[4], "conflict"))
		CHECK_EQ(counter("verdict_conflict") - conflicts, 1, "%s", field[0]);
	if (!strcmp(field[4], "none"))
		CHECK_EQ(counter("verdict_malformed") - malformed, 0, "%s", field[0]);
}

void vectors(void)
{
	char line[1024];
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), count = 0;
	FILE *file = fopen(vectors_file, "re");

	if (!file)
		err(1, "%s", vectors_file);
	while (fgets(line, sizeof(line), file)) {
		char copy[sizeof(line)];

		strcpy(copy, line);
		run_vector(line, 4, listener, port);
		run_vector(copy, 6, listener, port);
		count++;
	}
	fclose(file);
	CHECK(count > 100, "%d vectors", count);
	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
	close(listener);
}
