/* SPDX-License-Identifier: Apache-2.0 */
/*
 * toascope-hold server
 * toascope-hold client CGROUP CLIENTS [PEERS]
 *
 * Holds open connections that carry no data. Their number can exceed the descriptor limit of one
 * process: each half distributes them over child processes, which die with it. Each line on
 * standard input is answered with JSON on standard output:
 *   hold COUNT   server: listen for COUNT connections; client: open COUNT connections
 *   held         server: report when all have been accepted
 *   drop         close them
 * The client appends a line to PEERS for each connection: the local address and port, and the
 * client's address in the TOA option.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report.h"
#include "server.h"
#include "source.h"

enum exit_code { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define PORT 7002
#define HOLDERS_MAX 128
#define OTHER_DESCRIPTORS 64

struct half {
	struct source source; /* source.clients is 0 in the server's half */
	const char *peers;
	int listener;
};

/* The child processes that hold the connections. */
static struct {
	pid_t pids[HOLDERS_MAX];
	int count;
	int reports[2]; /* a pipe, into which each child writes its struct report */
	int stop[2];    /* a pipe, whose end of file makes the children exit */
} holders;

static bool record_peer(FILE *peers, const struct source *source, int fd, uint64_t number)
{
	char text[INET6_ADDRSTRLEN], client[INET6_ADDRSTRLEN];
	struct in6_addr address = source_client(source, number);
	struct sockaddr_in own;
	socklen_t length = sizeof(own);

	return !getsockname(fd, (struct sockaddr *)&own, &length) &&
	       inet_ntop(AF_INET, &own.sin_addr, text, sizeof(text)) &&
	       inet_ntop(AF_INET6, &address, client, sizeof(client)) &&
	       fprintf(peers, "%s:%u %s\n", text, ntohs(own.sin_port), client) > 0;
}

static struct report connect_all(const struct half *half, uint64_t first, int count)
{
	FILE *peers = half->peers ? fopen(half->peers, "ae") : NULL;
	struct report report = {};

	for (int i = 0; i < count; i++) {
		int fd = source_connect(&half->source, first + i, PORT);

		if (fd < 0 || (half->peers && (!peers || !record_peer(peers, &half->source, fd, first + i))))
			report.errors++;
		else
			report.connections++;
	}
	if (peers && fclose(peers))
		report.errors++;
	return report;
}

static struct report accept_all(const struct half *half, int count)
{
	struct report report = {};

	for (int i = 0; i < count; i++) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);

		if (accept4(half->listener, (struct sockaddr *)&peer, &length, SOCK_CLOEXEC) < 0)
			report.errors++;
		else
			report.connections++;
	}
	return report;
}

/* Runs in a child: opens or accepts its share, reports, and waits for the stop pipe to close. */
static void hold(const struct half *half, uint64_t first, int count)
{
	struct report report;
	char byte;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(holders.stop[1]);
	report = half->source.clients ? connect_all(half, first, count) : accept_all(half, count);
	if (write(holders.reports[1], &report, sizeof(report)) == sizeof(report))
		while (read(holders.stop[0], &byte, 1) < 0 && errno == EINTR)
			;
	_exit(0);
}

static bool start(const struct half *half, int count)
{
	static uint64_t next_number;
	struct rlimit limit;
	int share;

	if (getrlimit(RLIMIT_NOFILE, &limit) || pipe(holders.reports) || pipe(holders.stop))
		return false;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit))
		return false;
	share = limit.rlim_max - OTHER_DESCRIPTORS;
	for (int left = count; left > 0; left -= share) {
		int mine = left < share ? left : share;
		pid_t pid = holders.count < HOLDERS_MAX ? fork() : -1;

		if (pid < 0)
			return false;
		if (pid == 0)
			hold(half, next_number, mine);
		holders.pids[holders.count++] = pid;
		next_number += mine;
	}
	return true;
}

/* Waits for the report of each child, and prints their sum. */
static bool report_all(const char *role)
{
	struct report sum = {}, part;

	for (int i = 0; i < holders.count; i++) {
		if (read(holders.reports[0], &part, sizeof(part)) != sizeof(part))
			return false;
		report_add(&sum, &part);
	}
	report_print(role, &sum, 0);
	return true;
}

static bool close_all(struct half *half)
{
	close(holders.stop[1]);
	for (int i = 0; i < holders.count; i++)
		waitpid(holders.pids[i], NULL, 0);
	close(holders.stop[0]);
	close(holders.reports[0]);
	close(holders.reports[1]);
	if (half->listener)
		close(half->listener);
	half->listener = 0;
	holders.count = 0;
	puts("{\"dropped\":true}");
	return !fflush(stdout);
}

static bool execute(const char *line, struct half *half)
{
	bool serves = !half->source.clients;
	int count;

	if (!holders.count && sscanf(line, "hold %d", &count) == 1 && count > 0) {
		if (serves) {
			half->listener = listen_on(PORT);
			if (half->listener < 0)
				return false;
		}
		if (!start(half, count))
			return false;
		if (!serves)
			return report_all("client");
		puts("{\"role\":\"server\",\"listening\":true}");
		return !fflush(stdout);
	}
	if (holders.count && serves && !strcmp(line, "held\n"))
		return report_all("server");
	if (holders.count && !strcmp(line, "drop\n"))
		return close_all(half);
	return false;
}

int main(int argc, char **argv)
{
	struct toa_lab lab;
	struct half half = { .source = { .lab = &lab, .profile = TOA_LAB_NAT64 } };
	bool serves = argc == 2 && !strcmp(argv[1], "server");
	char line[128];

	if (!serves) {
		half.source.clients =
			argc >= 4 && !strcmp(argv[1], "client") ? strtoul(argv[3], NULL, 10) : 0;
		half.peers = argc == 5 ? argv[4] : NULL;
		if (!half.source.clients || argc > 5) {
			fputs("usage: toascope-hold server, or: toascope-hold client CGROUP CLIENTS [PEERS]\n",
			      stderr);
			return EXIT_USAGE;
		}
		if (toa_lab_open(&lab, argv[2])) {
			fputs("cannot load or attach the program that writes TOA\n", stderr);
			return EXIT_FAILED;
		}
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!execute(line, &half)) {
			fprintf(stderr, "%s: %s", strerror(errno), line);
			return EXIT_FAILED;
		}
	}
	return EXIT_DONE;
}
