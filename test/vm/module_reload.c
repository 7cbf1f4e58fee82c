// SPDX-License-Identifier: Apache-2.0
/*
 * Loads and unloads toa.ko again and again while connections come and go. Arguments: toa.ko, and
 * how often.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "check.h"
#include "module.h"
#include "module_reload.h"
#include "wire.h"

#define CDN4 "1c0701cb007107"
#define PARAMETERS "profiles=nat64,toa4,cdn4 trust=198.18.0.0/15,2001:db8:f::/64"
#define OPEN_MAX_ 32
#define TRAFFIC 3

const char *module_file;
int cycles;
static bool reset_at_close; /* otherwise sockets stay for minutes: the hosts acknowledge no FIN */

/* Makes connections with options, of which the last OPEN_MAX_ stay open. */
static void send_options(void)
{
	static const char *const options[][3] = {
		{ "", NAT64, "" }, { "", "", NAT64 },   { CDN4, "", "" },
		{ "", "", "" },    { CDN4, NAT64, "" }, { "", "fd01", "" },
	};
	int fds[OPEN_MAX_] = {}, wire, listener;
	struct host hosts[OPEN_MAX_] = {};
	uint16_t port;
	unsigned int i;

	if (unshare(CLONE_NEWNET))
		err(1, "a network namespace");
	wire = wire_open("wire0");
	listener = listen_on(AF_INET6, false, &port);
	/* accepted sockets inherit it */
	if (setsockopt(listener, SOL_SOCKET, SO_LINGER, &(struct linger){ reset_at_close, 0 },
		       sizeof(struct linger)))
		err(1, "SO_LINGER");
	for (i = 0;; i++) {
		struct host *host = &hosts[i % OPEN_MAX_];
		int *fd = &fds[i % OPEN_MAX_];
		const char *const *on = options[i % (sizeof(options) / sizeof(options[0]))];
		char text[64], byte;

		if (*fd) {
			wire_send(wire, host, i % 2 ? RST | ACK : FIN | ACK, no_options, NULL);
			get_client(*fd, text);
			close(*fd);
			wire_send(wire, host, RST, no_options, NULL);
		}
		*host = wire_host(i % 4 < 2 ? 4 : 6, port);
		if (wire_connect(wire, host, hex_options(on[0]), hex_options(on[1])))
			continue; /* no SYN-ACK: the kernel does not accept such an option */
		if (!strcmp(on[1], "fd01"))
			wire_send(wire, host, ACK, no_options, NULL);
		*fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		get_client(*fd, text);
		wire_send(wire, host, ACK | PUSH, hex_options(on[2]), "x");
		if (recv(*fd, &byte, 1, 0) != 1)
			err(1, "data of the host");
		/*
		 * there is no client while the module is not loaded, or if it was not when the
		 * connection began; but never a wrong client
		 */
		if (!get_client(*fd, text) && strcmp(text, NAT64_CLIENT) &&
		    strcmp(text, "::ffff:203.0.113.7 0"))
			errx(1, "%s", text);
	}
}

/* Makes ordinary connections over loopback. */
static void send_plain(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	uint16_t port;
	int listener;

	if (unshare(CLONE_NEWNET) || system("ip link set lo up"))
		err(1, "a network namespace");
	listener = listen_on(AF_INET, false, &port);
	to.sin_port = htons(port);
	for (;;) {
		int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server;
		struct linger reset = { .l_onoff = 1 };
		char text[64];

		setsockopt(client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (connect(client, (struct sockaddr *)&to, sizeof(to)))
			err(1, "connect");
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (write(client, "x", 1) != 1 || read(server, text, 1) != 1)
			err(1, "data");
		if (!get_client(server, text))
			errx(1, "a connection without an option has the client %s", text);
		close(client);
		close(server);
	}
}

static pid_t start(void (*traffic)(void))
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		traffic();
	}
	return child;
}

int unload(void)
{
	int result;

	while ((result = module_unload()) == -EWOULDBLOCK)
		sched_yield();
	return result;
}

static void reloads(void)
{
	long long toa = 0, none = 0, repaired = 0, missed = 0;
	pid_t traffic[TRAFFIC];
	int i, status;

	traffic[0] = start(send_options);
	traffic[1] = start(send_options);
	traffic[2] = start(send_plain);
	for (i = 0; i < cycles; i++) {
		int result = module_load(module_file, PARAMETERS);

		CHECK_EQ(result, 0, "loading, time %d", i);
		if (result)
			break;
		/* the module sees traffic before it is unloaded */
		while (counter("verdict_toa") < 3 || counter("verdict_none") < 1)
			sched_yield();
		CHECK_EQ(counter("stale") + counter("drop_no_memory"), 0, "time %d", i);
		if (i % 4 == 1)
			parameter_write("trust", i % 8 == 1 ? "198.18.0.0/15,::/0" : "\n");
		if (i % 4 == 2)
			parameter_write("profiles", i % 8 == 2 ? "nat64" : "cdn4,nat64");
		toa += counter("verdict_toa");
		none += counter("verdict_none");
		repaired += counter("repaired");
		missed += counter("missed_tcp_v4_syn_recv_sock") + counter("missed_tcp_v6_syn_recv_sock");
		CHECK_EQ(unload(), 0, "unloading, time %d", i);
		if (i % 20 == 19) {
			printf("toascope: loaded and unloaded %d times\n", i + 1);
			fflush(stdout);
		}
	}
	printf("  %d times; verdicts toa %lld, none %lld; repaired %lld, missed %lld\n", i, toa, none,
	       repaired, missed);
	for (i = 0; i < TRAFFIC; i++) {
		CHECK_EQ(waitpid(traffic[i], &status, WNOHANG), 0, "traffic ran to the end");
		kill(traffic[i], SIGKILL);
		waitpid(traffic[i], &status, 0);
	}
	CHECK_EQ(slab_objects("toa_connection"), -1, "its slab cache is gone");
}

/* All objects are freed while the module stays loaded. */
static void frees_objects(void)
{
	pid_t traffic;
	int status;

	CHECK_EQ(module_load(module_file, PARAMETERS), 0, "loading");
	CHECK(slab_objects("toa_connection") >= 0, "a slab cache of its own");
	reset_at_close = true;
	traffic = start(send_options);
	while (counter("verdict_toa") < 2000)
		sched_yield();
	kill(traffic, SIGKILL);
	waitpid(traffic, &status, 0);
	while (counter("connections") > 0)
		sched_yield();
	CHECK_EQ(counter("objects_allocated") - counter("objects_freed"), 0, "objects");
	CHECK_EQ(unload(), 0, "unloading");
}

int main(int count, char **arguments)
{
	static const struct test tests[] = {
		{ "loads and unloads under traffic", reloads },
		{ "all objects are freed with their sockets", frees_objects },
		{ "long lists, swapped under traffic", swap_lists },
		{ "loads with long lists", load_lists },
	};

	if (count != 3)
		errx(2, "usage: module_reload TOA.KO TIMES");
	module_file = arguments[1];
	cycles = atoi(arguments[2]);
	return run_tests("reload", tests, sizeof(tests) / sizeof(tests[0]));
}
