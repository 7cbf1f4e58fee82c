/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the foreign (third-party) programs and their loader (../apps/foreign.c). */
#ifndef TOASCOPE_TEST_FOREIGN_H
#define TOASCOPE_TEST_FOREIGN_H

struct foreign_request {
	unsigned int port;
	unsigned int flags;  /* BPF_SOCK_OPS_*_FLAG */
	unsigned int window; /* first receive window, in segments */
	unsigned int only;   /* the flags replace those of other programs */
};

enum {
	FOREIGN_FLAGS_KEPT = 31, /* smaller indices: enum of BPF_SOCK_OPS_* */
	FOREIGN_COUNTS = 32,
	FOREIGN_OPTION = 7777,    /* option of IPPROTO_IP that gets FOREIGN_ANSWER */
	FOREIGN_LOOKUP_SIZE = 24, /* so does 4096, with a buffer of this size */
	FOREIGN_ANSWER = 0x11223344,
	FOREIGN_TTL = 99, /* the value that IP_TTL gets */
};

/* What the getsockopt program saw of an option in the latest call. */
struct foreign_seen {
	int retval;
	int optlen;
	unsigned int calls;
};

#endif
