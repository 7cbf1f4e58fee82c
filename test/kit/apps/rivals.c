// SPDX-License-Identifier: Apache-2.0
/*
 * rivals PORT COUNT: two threads, each on a processor of its own, connect at the same moment to the
 * same new local address, COUNT times. One wildcard listener accepts all connections. It prints
 * {"ready":true} at the end.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int listener, port, count;
static atomic_int arrived;
/*
 * Set when a thread has slept, since the machine is busy. From then on, each round ends with a call
 * that wakes the other thread.
 */
static atomic_bool sleeps;

static int fail(const char *what)
{
	perror(what);
	exit(1);
}

/* Resets the connection, so that nothing is left in TIME_WAIT. */
static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd);
}

/*
 * A barrier. Both threads leave it at the same moment if their processors are free. On a busy
 * machine, a thread that only spun would wait in each round until the time slices of other threads
 * end: it sleeps, and is woken.
 */
static void wait_for_both(int round)
{
	const int all = 2 * (round + 1);
	int now = atomic_fetch_add(&arrived, 1) + 1;

	for (int spins = 0; now < all && spins < 10000; spins++)
		now = atomic_load(&arrived);
	while (now < all) {
		atomic_store(&sleeps, true);
		syscall(SYS_futex, &arrived, FUTEX_WAIT_PRIVATE, now, NULL);
		now = atomic_load(&arrived);
	}
	if (atomic_load(&sleeps))
		syscall(SYS_futex, &arrived, FUTEX_WAKE_PRIVATE, 1);
}

static void *rival(void *argument)
{
	long cpu = (long)argument;
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		fail("sched_setaffinity");
	/*
	 * If this is refused, the rounds take longer: a woken thread waits until the time slices of
	 * other threads end.
	 */
	sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 });
	for (int i = 0; i < count; i++) {
		struct sockaddr_in to = { .sin_family = AF_INET,
					  .sin_port = htons(port),
					  .sin_addr.s_addr = htonl(0x7f010000 + i) };
		int fd = socket(AF_INET, SOCK_STREAM, 0), accepted;

		wait_for_both(i);
		/* the other thread can already have accepted and reset this connection */
		if (connect(fd, (struct sockaddr *)&to, sizeof(to)) && errno != ECONNRESET)
			fail("connect");
		accepted = accept(listener, NULL, NULL);
		if (accepted < 0)
			fail("accept");
		reset(accepted);
		reset(fd);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct sockaddr_in any = { .sin_family = AF_INET };
	pthread_t first, second;

	port = argc > 2 ? atoi(argv[1]) : 0;
	count = argc > 2 ? atoi(argv[2]) : 0;
	any.sin_port = htons(port);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&any, sizeof(any)) || listen(listener, 16))
		return fail("listen");
	pthread_create(&first, NULL, rival, (void *)0);
	pthread_create(&second, NULL, rival, (void *)1);
	pthread_join(first, NULL);
	pthread_join(second, NULL);
	puts("{\"ready\":true}");
	return 0;
}
