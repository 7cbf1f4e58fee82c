/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server of several processes: acceptor MODE PORT [silently]. It prints {"ready":true}, then
 * answers each connection with the pid of the process that accepted it and the peer as
 * getpeername() returns it, and waits for the client to close. With `silently`, accept() gets no
 * address buffer.
 *
 *	prefork      children share one listener
 *	reuseport    each child has a listener of its own on the port
 *	pass         children accept, and pass each connection to the parent, which serves it
 *	thread       one process; a thread with a name of its own accepts
 *	i386         one process; accept4() as 32-bit programs call it
 *	uring        one process; accepts through io_uring, waits in io_uring_enter()
 *	uring-async  like uring, but a worker thread of io_uring accepts
 *	uring-epoll  like uring, but waits in epoll_wait()
 *	uring-sqpoll like uring, but io_uring's polling thread accepts
 */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "uring.h"

enum { CHILDREN = 4 };

static const char *mode;
static int port, silently;

static int is_mode(const char *name)
{
	return strcmp(mode, name) == 0;
}

static int open_listener(int reuse_port)
{
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	int on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (reuse_port)
		setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(fd, (struct sockaddr *)&any, sizeof(any)) || listen(fd, 128)) {
		perror("listen");
		exit(1);
	}
	return fd;
}

static void serve(int connection, pid_t accepted_by)
{
	struct sockaddr_in peer = { 0 };
	socklen_t size = sizeof(peer);
	char data[256];
	int length;

	if (getpeername(connection, (struct sockaddr *)&peer, &size))
		perror("getpeername");
	length = snprintf(data, sizeof(data), "%d %s %d\n", accepted_by, inet_ntoa(peer.sin_addr),
			  ntohs(peer.sin_port));
	if (write(connection, data, length) < 0)
		perror("write");
	while (read(connection, data, sizeof(data)) > 0)
		;
	close(connection);
}

#ifdef __x86_64__
enum { ACCEPT4_OF_I386 = 364 };

/* The buffers must be in the low 2 GB: pointers have 32 bits in this ABI. */
static int accept_i386(int listener)
{
	static struct {
		struct sockaddr_in peer;
		socklen_t length;
	} * low;
	long result;

	if (!low)
		low = mmap(NULL, sizeof(*low), PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	low->length = sizeof(low->peer);
	asm volatile("int $0x80"
		     : "=a"(result)
		     : "a"(ACCEPT4_OF_I386), "b"(listener), "c"(&low->peer), "d"(&low->length), "S"(0)
		     : "r8", "r9", "r10", "r11", "memory");
	errno = result < 0 ? -result : 0;
	return result < 0 ? -1 : result;
}
#else
static int accept_i386(int listener)
{
	(void)listener;
	errno = ENOSYS;
	return -1;
}
#endif

static int accept_one(struct uring *ring, int listener)
{
	struct sockaddr_in peer;
	socklen_t length = sizeof(peer);
	struct sockaddr *to = silently ? NULL : (struct sockaddr *)&peer;

	if (is_mode("i386"))
		return accept_i386(listener);
	if (!ring)
		return accept(listener, to, silently ? NULL : &length);
	return uring_accept(ring, listener, to, silently ? NULL : &length,
			    is_mode("uring-async") ? IOSQE_ASYNC : 0);
}

static void accept_all(struct uring *ring, int listener)
{
	int connection;

	while ((connection = accept_one(ring, listener)) >= 0)
		serve(connection, getpid());
	perror("accept");
	exit(1);
}

union descriptor {
	struct cmsghdr head;
	char space[CMSG_SPACE(sizeof(int))];
};

static void pass_all(int channel, int listener)
{
	union descriptor descriptor = { .head = { .cmsg_len = CMSG_LEN(sizeof(int)),
						  .cmsg_level = SOL_SOCKET,
						  .cmsg_type = SCM_RIGHTS } };
	pid_t self = getpid();
	struct iovec text = { &self, sizeof(self) };
	struct msghdr message = { .msg_iov = &text,
				  .msg_iovlen = 1,
				  .msg_control = &descriptor,
				  .msg_controllen = sizeof(descriptor) };
	int connection;

	while ((connection = accept_one(NULL, listener)) >= 0) {
		memcpy(CMSG_DATA(&descriptor.head), &connection, sizeof(connection));
		if (sendmsg(channel, &message, 0) < 0)
			perror("sendmsg");
		close(connection);
	}
}

static void serve_passed(int channel)
{
	union descriptor descriptor;
	pid_t accepted_by;
	struct iovec text = { &accepted_by, sizeof(accepted_by) };
	struct msghdr message = { .msg_iov = &text, .msg_iovlen = 1, .msg_control = &descriptor };
	int connection;

	for (;;) {
		message.msg_controllen = sizeof(descriptor);
		if (recvmsg(channel, &message, 0) <= 0)
			return;
		memcpy(&connection, CMSG_DATA(&descriptor.head), sizeof(connection));
		serve(connection, accepted_by);
	}
}

static void fork_children(int listener)
{
	pid_t parent = getpid();
	int channel[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, channel))
		exit(1);
	for (int i = 0; i < CHILDREN; i++) {
		int own = is_mode("reuseport") ? open_listener(1) : listener;

		if (fork()) {
			if (own != listener)
				close(own);
			continue;
		}
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			exit(1);
		if (is_mode("pass"))
			pass_all(channel[1], own);
		else
			accept_all(NULL, own);
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	if (is_mode("pass"))
		serve_passed(channel[0]);
	pause();
}

static void *accepting_thread(void *listener)
{
	prctl(PR_SET_NAME, "a-thread");
	accept_all(NULL, *(int *)listener);
	return NULL;
}

int main(int argc, char **argv)
{
	struct uring ring;
	pthread_t thread;
	int listener;

	if (argc < 3)
		return 2;
	mode = argv[1];
	port = atoi(argv[2]);
	silently = argc > 3;
	if (is_mode("reuseport")) {
		fork_children(-1);
		return 1;
	}
	listener = open_listener(0);
	if (is_mode("prefork") || is_mode("pass"))
		fork_children(listener);
	if (strncmp(mode, "uring", 5) == 0 &&
	    uring_open(&ring, is_mode("uring-sqpoll") ? IORING_SETUP_SQPOLL : 0, is_mode("uring-epoll"))) {
		perror("io_uring_setup");
		return 1;
	}
	puts("{\"ready\":true}");
	fflush(stdout);
	if (is_mode("thread")) {
		pthread_create(&thread, NULL, accepting_thread, &listener);
		pause();
	}
	accept_all(&ring, listener);
	return 1;
}
