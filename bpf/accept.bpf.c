// SPDX-License-Identifier: GPL-2.0-only
/*
 * The companion program on accept, where the kernel allows trampolines and locks in them.
 * inet_csk_accept() would be too early: it can return a child while the callback of its handshake
 * is still running on another CPU. The functions below have taken the child's lock, so they have
 * waited for that callback.
 */
#include "accept.h"

/*
 * The parameters after newsock differ, and changed in 6.10: they are not read, nor is the result.
 */
static __always_inline int accept_returned(__u64 *ctx)
{
	struct socket *newsock = (struct socket *)ctx[1];
	struct connection *connection;
	struct sock *sk = newsock->sk;
	__u64 cookie;

	/* accept() failed */
	if (!sk)
		return 0;
	cookie = sk->__sk_common.skc_cookie.counter;
	connection = find_connection(sk, cookie);
	if (connection && !connection->accept_kind)
		record_accept(connection, cookie, ACCEPT_FEXIT);
	return 0;
}

/* int inet_accept(struct socket *sock, struct socket *newsock, ...) */
SEC("?fexit/inet_accept")
int toascope_accept(__u64 *ctx)
{
	return accept_returned(ctx);
}

/*
 * void __inet_accept(struct socket *sock, struct socket *newsock, ...), if the kernel has it:
 * inet_accept() calls it, and MPTCP's accept calls only this one. It also is a second chance: while
 * a task is preempted in the middle of a program, the kernel runs that program for no other task on
 * this CPU (recursion_misses).
 */
SEC("?fexit/__inet_accept")
int toascope_accept_inner(__u64 *ctx)
{
	return accept_returned(ctx);
}
