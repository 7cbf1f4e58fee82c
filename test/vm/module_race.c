// SPDX-License-Identifier: Apache-2.0
/* One handshake that two CPUs complete at the same time. */
#define _GNU_SOURCE
#include <err.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "architecture.h"
#include "module_case.h"

/* With these probes, creating a socket takes longer than QEMU runs one processor at a stretch. */
#define SLOW_PROBES 20
#define LOST 3

static struct shared {
	atomic_int requested, sent;
	struct host host;
} * shared;

static void send_last(struct host host)
{
	wire_send(wire, &host, ACK | PUSH, hex_options(NAT64), "abc");
}

static void wait_for(atomic_int *number, int at_least)
{
	while (atomic_load(number) < at_least)
		LET_OTHER_CPU_RUN();
}

/* On the other CPU, sends the same segment each time. */
static pid_t start_second(void)
{
	pid_t child = fork();
	int time;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(1);
	for (time = 1;; time++) {
		wait_for(&shared->requested, time);
		send_last(shared->host);
		atomic_store(&shared->sent, time);
	}
}

void lost_race(void)
{
	long long lost = counter("lost_race"), toa = counter("verdict_toa"), repaired = counter("repaired");
	time_t began = time(NULL);
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), handshakes = 0, fd;
	pid_t second;

	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		err(1, "mmap");
	second = start_second();
	pin(0);
	add_slow_probes("tcp_create_openreq_child", SLOW_PROBES);
	while (counter("lost_race") - lost < LOST && time(NULL) - began < 30) {
		struct host host = wire_host(4, port);

		CHECK_EQ(wire_syn(wire, &host, no_options), 0, "SYN-ACK");
		shared->host = host;
		atomic_store(&shared->requested, ++handshakes);
		send_last(host);
		wait_for(&shared->sent, handshakes);
		fd = accept_host(listener, &host);
		receive(fd, "abc");
		expect_client(fd, NAT64_CLIENT, "the client of the one socket");
		host.sent += 3;
		end(fd, &host);
	}
	remove_slow_probes();
	kill(second, SIGKILL);
	waitpid(second, NULL, 0);
	CHECK(counter("lost_race") - lost >= LOST, "%d handshakes, %lld of them lost by a CPU", handshakes,
	      counter("lost_race") - lost);
	CHECK_EQ(counter("verdict_toa") - toa, handshakes, "one verdict for each handshake");
	CHECK_EQ(counter("repaired") - repaired, 0, "repaired");
	CHECK_EQ(counter("objects_allocated") - counter("objects_freed"), 0, "objects");
	munmap(shared, sizeof(*shared));
	close(listener);
}
