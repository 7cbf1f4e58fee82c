// SPDX-License-Identifier: Apache-2.0
/* Connections whose creation the probes miss are found later, with options of later segments. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "architecture.h"
#include "module_case.h"

#define CDN4_CLIENT "::ffff:203.0.113.7 0"

/* Switches of all probes of the kernel. */
#define KPROBES "/sys/kernel/debug/kprobes/enabled"
#define FTRACE "/proc/sys/kernel/ftrace_enabled"

static const char *probes_switch;

static void arm(bool on)
{
	write_file(probes_switch, on ? "1" : "0");
}

/* Some kernels have the switch of ftrace but do not allow its use. */
static bool ftrace_switches_probes(void)
{
	int fd = open(FTRACE, O_WRONLY | O_CLOEXEC);
	bool works = PROBES_BY_FTRACE && write(fd, "0", 1) == 1 && write(fd, "1", 1) == 1;

	close(fd);
	return works;
}

struct missed_case {
	const char *on_syn;
	bool syn_seen;
	const char *on_ack, *on_data, *before, *after, *verdict, *segment;
};

static void check_missed_handshake(const struct missed_case *c, int listens, int family)
{
	long long repaired = counter("repaired"), verdict = counter(c->verdict);
	long long segment = c->segment ? counter(c->segment) : 0;
	uint16_t port;
	int listener = listen_on(listens, false, &port), fd;
	struct host host = wire_host(family, port);

	arm(c->syn_seen);
	CHECK_EQ(wire_syn(wire, &host, hex_options(c->on_syn)), 0, "SYN-ACK");
	arm(false);
	wire_send(wire, &host, ACK, hex_options(c->on_ack), NULL);
	arm(true);
	fd = accept_host(listener, &host);
	expect_client(fd, c->before, "only the handshake");
	wire_send(wire, &host, ACK | PUSH, hex_options(c->on_data), "abc");
	receive(fd, "abc");
	expect_client(fd, c->after, "a segment that the probes did not miss");
	end(fd, &host);
	CHECK_EQ(counter("repaired") - repaired, 1, "repaired");
	CHECK_EQ(counter(c->verdict) - verdict, 1, "%s", c->verdict);
	if (c->segment)
		CHECK_EQ(counter(c->segment) - segment, 1, "%s", c->segment);
	close(listener);
}

/* Neither end sends an option, and only one end has a listener. */
static void check_missed_loopback(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	long long allocated = counter("objects_allocated"), none = counter("verdict_none");
	int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), server, listener;
	uint16_t port;

	listener = listen_on(AF_INET, false, &port);
	to.sin_port = htons(port);
	arm(false);
	CHECK_EQ(connect(client, (struct sockaddr *)&to, sizeof(to)), 0, "over loopback");
	arm(true);
	server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	CHECK_EQ(write(server, "abc", 3), 3, "data for the client");
	receive(client, "abc");
	CHECK_EQ(write(client, "abc", 3), 3, "data for the server");
	receive(server, "abc");
	close(client);
	close(server);
	CHECK_EQ(counter("objects_allocated") - allocated, 1, "only for the server");
	CHECK_EQ(counter("verdict_none") - none, 1, "only for the server");
	close(listener);
}

void missed_calls(void)
{
	static const struct missed_case cases[] = {
		{ "", true, "", NAT64, "-", NAT64_CLIENT, "verdict_toa", "option_on_data" },
		{ "", true, NAT64, "", "-", "-", "verdict_none", NULL },
		{ CDN4, true, "", "", CDN4_CLIENT, CDN4_CLIENT, "verdict_toa", "option_on_syn" },
		{ CDN4, true, "", NAT64, CDN4_CLIENT, NAT64_CLIENT, "verdict_conflict", "option_on_data" },
		{ CDN4, false, "", NAT64, "-", NAT64_CLIENT, "verdict_toa", "option_on_data" },
		{ CDN4, false, "", "", "-", "-", "verdict_none", NULL },
	};
	static const char *const switches[] = { KPROBES, FTRACE };
	size_t i, j;

	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES ",cdn4\n"), 0, "profiles");
	for (j = 0; j < 2; j++) {
		probes_switch = switches[j];
		/*
		 * tested last: once this switch was off, 6.1 does not arm all probes again by their
		 * own switch
		 */
		if (j && !ftrace_switches_probes())
			break;
		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			check_missed_handshake(&cases[i], AF_INET, 4);
			check_missed_handshake(&cases[i], AF_INET6, 4);
			check_missed_handshake(&cases[i], AF_INET6, 6);
		}
		check_missed_loopback();
	}
	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
	CHECK_EQ(counter("objects_allocated") - counter("objects_freed"), 0, "objects");
}

static pid_t start(void (*run)(void))
{
	pid_t child = fork();

	if (!child) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		run();
	}
	return child;
}

static void end_child(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void toggle(void)
{
	for (;;) {
		arm(false);
		arm(true);
	}
}

static bool in_time(time_t began)
{
	return time(NULL) - began < 60;
}

/*
 * Probes are armed and disarmed one after the other: in between, that of tcp_rcv_state_process()
 * can be armed without the other. Then the client of a missed connection is known even if only the
 * segment of the handshake named it.
 */
void return_probe_missed(void)
{
	time_t began = time(NULL);
	bool found = false;
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port);
	pid_t toggler;

	probes_switch = KPROBES;
	toggler = start(toggle);
	while (!found && in_time(began)) {
		long long repaired = counter("repaired");
		struct host host = wire_host(4, port);
		int fd = connection(listener, &host, "", NAT64);
		char text[CLIENT_TEXT_SIZE];

		found = counter("repaired") > repaired && !get_client(fd, text);
		end(fd, &host);
	}
	end_child(toggler);
	arm(true);
	CHECK(found, "repaired by the same segment");
	CHECK_EQ(counter("objects_allocated") - counter("objects_freed"), 0, "objects");
	close(listener);
}

static void call(void)
{
	pin(0);
	for (;;)
		syscall(SYS_getppid);
}

/* The CPUs that handle packets of the hosts, in an interrupt from another CPU (RPS). */
#define PACKETS_TO "/sys/class/net/wire0/queues/rx-0/rps_cpus"

#define SLOW_PROBES 4

/*
 * The handler of another kprobe is interrupted, and in the interrupt a handshake completes. The
 * handlers of kprobes do not nest, so the kernel counts both probes of toa.ko as missed.
 */
void interrupted_probe(void)
{
	struct utsname system;
	time_t began = time(NULL);
	uint16_t port;
	int listener, found = 0;
	pid_t caller;

	if (!PROBES_INTERRUPTED) {
		skip_test("handlers of kprobes run with interrupts masked");
		return;
	}
	if (!uname(&system) && strstr(system.version, "PREEMPT_RT")) {
		skip_test("a real-time kernel handles no segment within a probe");
		return;
	}
	add_slow_probes(GETPPID, SLOW_PROBES);
	write_file(PACKETS_TO, "1");
	caller = start(call);
	pin(1);
	listener = listen_on(AF_INET, false, &port);
	while (found < 3 && in_time(began)) {
		long long repaired = counter("repaired"), missed = counter("missed_tcp_v4_syn_recv_sock");
		long long state = counter("missed_tcp_rcv_state_process");
		struct host host = wire_host(4, port);
		int fd = connection(listener, &host, "", "");

		wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
		receive(fd, "abc");
		expect_client(fd, NAT64_CLIENT, "on the first data");
		missed = counter("missed_tcp_v4_syn_recv_sock") - missed;
		if (missed && counter("missed_tcp_rcv_state_process") > state)
			found++;
		CHECK_EQ(counter("repaired") - repaired, missed, "repaired");
		end(fd, &host);
	}
	end_child(caller);
	write_file(PACKETS_TO, "0");
	remove_slow_probes();
	CHECK_EQ(found, 3, "connections that the probes missed");
	close(listener);
}
