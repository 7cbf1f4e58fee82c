/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * The parameters of a socket in bpf/lab.bpf.c: the value of its socket-storage map, which the lab's
 * gateway and load generator set from user space before connect().
 */
#ifndef TOASCOPE_LAB_H
#define TOASCOPE_LAB_H

#include <linux/types.h>

#define TOA_LAB_OPTIONS_MAX 40 /* RFC 9293: all options of a segment together */
#define TOA_LAB_ROOM 80        /* 40 bytes can be read from any offset of an option */

/* The segments that carry the options. */
#define TOA_LAB_ON_ACK 1  /* without payload, starting with the ACK that ends the handshake */
#define TOA_LAB_ON_DATA 2 /* with payload */
#define TOA_LAB_ON_ALL (TOA_LAB_ON_ACK | TOA_LAB_ON_DATA)

struct toa_lab_option {
	__u8 bytes[TOA_LAB_ROOM]; /* one or more options, each kind, length, data; no NOP, no EOL */
	__u8 length;              /* of all of them together, at most TOA_LAB_OPTIONS_MAX */
	__u8 segments;            /* TOA_LAB_ON_* */
	__u8 due;                 /* private to the program: room is reserved in this segment */
	__u8 reserved;
	__u32 snd_una; /* private to the program: its value when the handshake ended */
};

_Static_assert(sizeof(struct toa_lab_option) == 88, "toa_lab_option");

#endif
