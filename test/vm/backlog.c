// SPDX-License-Identifier: Apache-2.0
/*
 * backlog OBJECT PORT ROUNDS: makes connections whose first data has an option, and arrives while a
 * system call holds the socket. The kernel puts it into the socket's backlog, and handles it at the
 * end of the call, in process context with softirqs enabled. Meanwhile segments of other
 * connections arrive on the same processor. OBJECT (slow_update.bpf.o) slows down what they
 * interrupt. Prints the number of connections; each has the option on one segment of data, and was
 * closed by a reset.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <bpf/libbpf.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "wire.h"

#define DEVICE "backlog"
#define OPTION "fd1415b320010db8000c0000000000000000cb00" /* nat64 */
#define CONNECTIONS 64
#define PAUSE_US 1000
#define FILTER_SIZE 4000

static struct host hosts[CONNECTIONS];
static int accepted[CONNECTIONS];
static atomic_int next = CONNECTIONS; /* the connection whose data is next; CONNECTIONS: none */
static atomic_bool done;

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0 || close(fd))
		err(1, "%s", path);
}

static void pin_to(int cpu)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "sched_setaffinity");
}

/* The kernel holds the socket for a long time while it checks and compiles a long filter. */
static void *hold(void *unused)
{
	static struct sock_filter code[FILTER_SIZE];
	const struct sock_fprog filter = { .len = FILTER_SIZE, .filter = code };
	int i;

	(void)unused;
	for (i = 0; i < FILTER_SIZE - 1; i++)
		code[i] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_IMM, i);
	code[FILTER_SIZE - 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, -1);
	pin_to(0);
	while (!done) {
		int at = next;

		if (at == CONNECTIONS)
			sched_yield();
		else if (setsockopt(accepted[at], SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof(filter)) &&
			 errno != EBADF)
			err(1, "SO_ATTACH_FILTER");
	}
	return NULL;
}

static bool has_data(int fd)
{
	int bytes;

	if (ioctl(fd, FIONREAD, &bytes))
		err(1, "FIONREAD");
	return bytes > 0;
}

/* The segment is repeated, since the kernel drops it while the backlog is full. */
static void send_until_received(int wire, int at)
{
	int tries;

	for (tries = 0; !has_data(accepted[at]); tries++) {
		struct host again = hosts[at];

		if (tries % 1000 == 0)
			wire_send(wire, &again, ACK | PUSH, hex_options(OPTION), "x");
		sched_yield();
	}
	hosts[at].sent++;
}

static void one_round(int wire, int listener, uint16_t port)
{
	int i;

	for (i = 0; i < CONNECTIONS; i++) {
		hosts[i] = wire_host(4, port);
		if (wire_connect(wire, &hosts[i], no_options, no_options))
			errx(1, "no SYN-ACK");
		accepted[i] = accept(listener, NULL, NULL);
		if (accepted[i] < 0)
			err(1, "accept");
	}
	for (i = 0; i < CONNECTIONS; i++) {
		struct host first = hosts[i];

		next = i;
		/* time for the socket to be held, and for segments that interrupt its handling */
		usleep(PAUSE_US);
		wire_send(wire, &first, ACK | PUSH, hex_options(OPTION), "x");
	}
	next = CONNECTIONS;
	for (i = 0; i < CONNECTIONS; i++)
		send_until_received(wire, i);
	for (i = 0; i < CONNECTIONS; i++) {
		wire_send(wire, &hosts[i], RST | ACK, no_options, "");
		/* hold() can still have this number: it then finds no socket, or another one */
		close(accepted[i]);
	}
}

int main(int count, char **arguments)
{
	pthread_t holder;
	struct sockaddr_in any = { .sin_family = AF_INET };
	struct bpf_object *object;
	int wire, listener, rounds, i;

	if (count != 4)
		errx(2, "usage: backlog OBJECT PORT ROUNDS");
	rounds = atoi(arguments[3]);
	any.sin_port = htons(atoi(arguments[2]));
	object = bpf_object__open_file(arguments[1], NULL);
	if (!object || bpf_object__load(object) ||
	    !bpf_program__attach(bpf_object__find_program_by_name(object, "slow_update")))
		err(1, "%s", arguments[1]);
	wire = wire_open(DEVICE);
	/* room for the filters */
	write_file("/proc/sys/net/core/optmem_max", "1000000");
	/* everything received is handled on the CPU where the sockets are held */
	write_file("/sys/class/net/" DEVICE "/queues/rx-0/rps_cpus", "1");
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, CONNECTIONS))
		err(1, "listen");
	if (pthread_create(&holder, NULL, hold, NULL))
		errx(1, "pthread_create");
	pin_to(1);
	for (i = 0; i < rounds; i++)
		one_round(wire, listener, atoi(arguments[2]));
	done = true;
	pthread_join(holder, NULL);
	printf("%d\n", rounds * CONNECTIONS);
	return 0;
}
