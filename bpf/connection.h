/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* An entry of the connection table: see records.h and slots.h. */
#ifndef TOASCOPE_CONNECTION_H
#define TOASCOPE_CONNECTION_H

#include <linux/types.h>
#include "enums.h"

/* User space never takes these locks: BPF_F_LOCK makes the kernel copy a value under its lock. */
#ifdef __bpf__
#include <linux/bpf.h>
#define RECORD_LOCK struct bpf_spin_lock /* through a typedef, the kernel would not find it */
#else
#define RECORD_LOCK __u32
#endif

struct endpoint {
	__u8 address[16]; /* IPv4 in the first four bytes, the rest zero */
	__u16 port;
	__u8 family; /* enum family */
	__u8 reserved;
};

/* A slot goes through FREE, OPEN, CLOSED, COUNTED, OPEN ..., each step under the entry's lock. */
enum slot_state { SLOT_FREE = 0, SLOT_OPEN = 1, SLOT_CLOSED = 2, SLOT_COUNTED = 3 };

enum connection_flag {
	CONN_SWEPT = 1 << 0,      /* its opening is counted for the listener */
	CONN_ATTRIBUTED = 1 << 1, /* its opening is counted: for its client, direct or overflow */
	CONN_ACCEPT_COUNTED = 1 << 2,
	CONN_IN_OVERFLOW = 1 << 3,      /* counted under client="other", until it closes */
	CONN_OPTION_CALLBACKS = 1 << 4, /* toascope turned option callbacks on; they were off */
	CONN_MALFORMED = 1 << 5,        /* an option list was malformed */
	CONN_GONE = 1 << 6,             /* a sweep did not find its socket; the next closes it */
	CONN_HELD_RECEIVED = 1 << 7,    /* the last byte is not counted yet: it could be a FIN */
	CONN_HELD_SENT = 1 << 8,
	CONN_FALLBACK = 1 << 9,           /* in socket storage, which no sweep reads */
	CONN_JOINED = 1 << 10,            /* an additional subflow of MPTCP: see mptcp.h */
	CONN_TRUSTED = 1 << 11,           /* trusted peer; valid with TOA_VERDICT_NONE */
	CONN_DATA = 1 << 12,              /* the peer has sent data; valid with TOA_VERDICT_NONE */
	CONN_HIDDEN = 1 << 13,            /* transparent, but an IPv6 client on an AF_INET socket */
	CONN_EXTRA = 1 << 14,             /* `extras` has more of it */
	CONN_HAD_STRUCT_SOCKET = 1 << 15, /* a sweep of open connections found it accepted */
};

/*
 * An entry of the connection table: the connection's state, and what lookups read of it. The
 * socket's cookie determines the slot. The fields are grouped by cache line. The first line is
 * written when the connection opens, is accepted and closes, and is read by all programs. The
 * second is written when it opens, and by sweeps while it is open. The third is written when a
 * process accepts it and when it closes, mostly on the same CPU, and by sweeps for its RTT.
 */
struct connection {
	RECORD_LOCK lock;
	__u8 state; /* enum slot_state */
	__u8 verdict;
	__u16 flags;  /* enum connection_flag */
	__u64 cookie; /* 0: the slot was never used */
	/*
	 * Address of its socket, never dereferenced as a typed pointer. 0: the socket has since
	 * been used for another connection.
	 */
	__u64 socket;
	__u64 opened_ns;
	__u64 closed_ns;          /* 0: open */
	struct toa_client client; /* family 0: none found; port 0: the option carries none */
	__u16 listener;           /* slot of its listener */
	__u8 accept_kind;
	__u8 segment;

	__u64 counted_received; /* bytes already counted */
	__u64 counted_sent;     /* bytes already counted */
	__u32 counted_retransmitted;
	__u32 gone; /* in 2^30 ns, valid with CONN_GONE: when a sweep did not find its socket */
	struct endpoint peer;
	__u32 netns;            /* inode number of the network namespace */
	__u32 listener_service; /* `service` of the listener's slot when the connection opened */
	__u8 syn_verdict;       /* of the SYN's option; applies unless a later segment has one */
	__u8 unknown_kind;      /* last option that no profile or standard defines; 0: none */
	__u8 unknown_length;
	__u8 rtt_sampled;     /* in 2^33 ns: when the latest RTT sample was taken */
	__u8 prefix_length;   /* of the client's key, valid with CONN_ATTRIBUTED */
	__u8 peername_family; /* with split_uses: family that getpeername() shows; 0: none */
	__u16 local_port;
	__u32 local4; /* its own address if that is IPv4; 0: see struct extra */

	__u64 accepted_ns; /* valid if accept_kind is FEXIT or GETPEERNAME */
	/* of the accepting process; valid if accept_kind is FEXIT or GETPEERNAME */
	__u64 cgroup_id;
	__u8 comm[COMM_SIZE]; /* valid if accept_kind is FEXIT or GETPEERNAME */
	/*
	 * in the initial pid namespace; 0: unknown; valid if accept_kind is FEXIT or GETPEERNAME
	 */
	__u32 pid;
	__u32 srtt_us;                /* in eighths of a us; valid with CONN_SWEPT or once closed */
	__u64 received_bytes;         /* valid once closed */
	__u64 sent_bytes;             /* valid once closed */
	__u32 retransmitted_segments; /* valid once closed */
	__u16 error;                  /* errno that ended it, see end_error(); valid once closed */
	__u16 reserved;
};

/* More data of some connections, keyed by cookie. */
struct extra {
	struct endpoint local;             /* IPv6, where the listener's slot does not have it */
	struct toa_virtual virtual_server; /* family 0: none */
};

#endif
