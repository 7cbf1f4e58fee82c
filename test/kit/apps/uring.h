/* SPDX-License-Identifier: Apache-2.0 */
/* Accepts one connection at a time through io_uring, with system calls only. */
#ifndef TOASCOPE_TEST_URING_H
#define TOASCOPE_TEST_URING_H

#include <errno.h>
#include <linux/io_uring.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { URING_ENTRIES = 8 };

struct uring {
	int fd;
	int epoll; /* waits for completions; -1: io_uring_enter() waits */
	unsigned int flags;
	unsigned char *sq, *cq;
	struct io_uring_sqe *sqes;
	struct io_uring_params params;
};

static inline void *uring_map(int fd, size_t size, off_t offset)
{
	return mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, offset);
}

/* `flags` are IORING_SETUP_*. Returns 0, or -1 with errno. */
static inline int uring_open(struct uring *ring, unsigned int flags, int by_epoll)
{
	struct epoll_event event = { .events = EPOLLIN };

	memset(ring, 0, sizeof(*ring));
	ring->epoll = -1;
	ring->flags = flags;
	ring->params.flags = flags;
	ring->params.sq_thread_idle = 60000;
	ring->fd = syscall(SYS_io_uring_setup, URING_ENTRIES, &ring->params);
	if (ring->fd < 0)
		return -1;
	ring->sq = uring_map(ring->fd, ring->params.sq_off.array + URING_ENTRIES * sizeof(uint32_t),
			     IORING_OFF_SQ_RING);
	ring->cq = uring_map(ring->fd,
			     ring->params.cq_off.cqes + ring->params.cq_entries * sizeof(struct io_uring_cqe),
			     IORING_OFF_CQ_RING);
	ring->sqes = uring_map(ring->fd, URING_ENTRIES * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
	if (ring->sq == MAP_FAILED || ring->cq == MAP_FAILED || ring->sqes == MAP_FAILED)
		return -1;
	if (!by_epoll)
		return 0;
	ring->epoll = epoll_create1(0);
	return epoll_ctl(ring->epoll, EPOLL_CTL_ADD, ring->fd, &event);
}

static inline uint32_t *uring_word(unsigned char *part, uint32_t offset)
{
	return (uint32_t *)(part + offset);
}

static inline int uring_enter(const struct uring *ring, unsigned int submit, unsigned int complete,
			      unsigned int flags)
{
	return syscall(SYS_io_uring_enter, ring->fd, submit, complete, flags, NULL, 0);
}

static inline void uring_submit(struct uring *ring, int listener, struct sockaddr *address, socklen_t *length,
				uint8_t flags)
{
	uint32_t *tail = uring_word(ring->sq, ring->params.sq_off.tail);
	uint32_t index = *tail & (URING_ENTRIES - 1);
	struct io_uring_sqe *sqe = &ring->sqes[index];

	memset(sqe, 0, sizeof(*sqe));
	sqe->opcode = IORING_OP_ACCEPT;
	sqe->flags = flags;
	sqe->fd = listener;
	sqe->addr = (uintptr_t)address;
	sqe->addr2 = (uintptr_t)length;
	uring_word(ring->sq, ring->params.sq_off.array)[index] = index;
	__atomic_store_n(tail, *tail + 1, __ATOMIC_RELEASE);
	if (!(ring->flags & IORING_SETUP_SQPOLL))
		uring_enter(ring, 1, 0, 0);
	else if (__atomic_load_n(uring_word(ring->sq, ring->params.sq_off.flags), __ATOMIC_ACQUIRE) &
		 IORING_SQ_NEED_WAKEUP)
		uring_enter(ring, 1, 0, IORING_ENTER_SQ_WAKEUP);
}

/* Returns the connection, or -1 with errno. `sqe_flags` are IOSQE_*. */
static inline int uring_accept(struct uring *ring, int listener, struct sockaddr *address, socklen_t *length,
			       uint8_t sqe_flags)
{
	uint32_t *head = uring_word(ring->cq, ring->params.cq_off.head);
	struct epoll_event event;
	int result;

	uring_submit(ring, listener, address, length, sqe_flags);
	while (__atomic_load_n(uring_word(ring->cq, ring->params.cq_off.tail), __ATOMIC_ACQUIRE) == *head) {
		if (ring->epoll >= 0)
			epoll_wait(ring->epoll, &event, 1, -1);
		else
			uring_enter(ring, 0, 1, IORING_ENTER_GETEVENTS);
	}
	result = ((struct io_uring_cqe *)(ring->cq +
					  ring->params.cq_off.cqes))[*head & (ring->params.cq_entries - 1)]
			 .res;
	__atomic_store_n(head, *head + 1, __ATOMIC_RELEASE);
	if (result >= 0)
		return result;
	errno = -result;
	return -1;
}

#endif
