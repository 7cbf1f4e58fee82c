/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* An entry of the table of connections: see records.h and slots.h. */
#ifndef TOASCOPE_CONNECTION_H
#define TOASCOPE_CONNECTION_H

#include <linux/types.h>
#include "enums.h"

/* User space never takes these locks: it reads whole values under them with BPF_F_LOCK. */
#ifdef __bpf__
#include <linux/bpf.h>
#define RECORD_LOCK struct bpf_spin_lock /* the kernel does not find one behind a typedef */
#else
#define RECORD_LOCK __u32
#endif

struct endpoint {
	__u8 address[16]; /* IPv4 in the first four bytes, the rest zero */
	__u16 port;
	__u8 family; /* enum family */
	__u8 reserved;
};

/* A slot goes FREE, OPEN, CLOSED, COUNTED, OPEN ...: each step is made under the entry's lock. */
enum slot_state { SLOT_FREE = 0, SLOT_OPEN = 1, SLOT_CLOSED = 2, SLOT_COUNTED = 3 };

enum connection_flag {
	CONN_SWEPT = 1 << 0,      /* its opening is counted for the listener */
	CONN_ATTRIBUTED = 1 << 1, /* its opening is counted for its client, or for what stands for one */
	CONN_ACCEPT_COUNTED = 1 << 2,
	CONN_IN_OVERFLOW = 1 << 3,      /* counted under client="other", until it closes */
	CONN_OPTION_CALLBACKS = 1 << 4, /* we asked for option callbacks, no program before us had */
	CONN_MALFORMED = 1 << 5,        /* an option list was malformed */
	CONN_GONE = 1 << 6,             /* a sweep did not find its socket: the next one closes it */
	CONN_HELD_RECEIVED = 1 << 7,    /* the last byte received is not counted yet: it could be a FIN */
	CONN_HELD_SENT = 1 << 8,
	CONN_FALLBACK = 1 << 9,           /* in socket storage: no sweep reads it */
	CONN_JOINED = 1 << 10,            /* a further path of an MPTCP connection: see mptcp.h */
	CONN_TRUSTED = 1 << 11,           /* valid with VERDICT_NONE, as the next */
	CONN_DATA = 1 << 12,              /* the peer has sent data */
	CONN_HIDDEN = 1 << 13,            /* transparent, but the client is IPv6 and the socket AF_INET */
	CONN_EXTRA = 1 << 14,             /* `extras` has more of it */
	CONN_HAD_STRUCT_SOCKET = 1 << 15, /* a sweep of open connections has seen that it was accepted */
};

/*
 * An entry of the table: the connection's state, and what lookups read of it. Its slot follows from the socket's cookie. Cache lines:
 * the first is written when the connection opens, is accepted and closes, and read by all; the second when it opens, and by sweeps while it is
 * open; the third when a process accepts it and when it closes, which is mostly the same processor, and for its RTT by sweeps.
 */
struct connection {
	RECORD_LOCK lock;
	__u8 state; /* enum slot_state */
	__u8 verdict;
	__u16 flags;  /* enum connection_flag */
	__u64 cookie; /* 0: the slot was never used */
	__u64 socket; /* its address, never dereferenced by type; 0: the socket has been used for another connection since */
	__u64 opened_ns;
	__u64 closed_ns;          /* 0: open */
	struct toa_client client; /* family 0: no believable TOA; port 0: the option carries none */
	__u16 listener;           /* its slot */
	__u8 seen;
	__u8 segment;

	__u64 counted_received; /* bytes that are counted, as the next */
	__u64 counted_sent;
	__u32 counted_retransmitted;
	__u32 gone; /* 2^30 ns, valid with CONN_GONE: when a sweep did not find its socket */
	struct endpoint peer;
	__u32 netns;            /* inode number of the network namespace */
	__u32 listener_service; /* of the listener's slot, when the connection opened */
	__u8 syn_verdict;       /* of the option on the SYN; it applies unless a later segment has one */
	__u8 unknown_kind;      /* of the last option that no profile takes and no standard names; 0: none */
	__u8 unknown_length;
	__u8 rtt_sampled;   /* 2^33 ns: when the latest RTT sample was taken */
	__u8 prefix_length; /* of the client's key, valid with CONN_ATTRIBUTED */
	__u8 peername_family; /* with settings.split_uses: of the client that getpeername() shows; 0: there is none */
	__u16 local_port;
	__u32 local4; /* its own address, where that is IPv4; 0: see struct extra */

	__u64 accepted_ns; /* this and the next three are valid where `seen` says so */
	__u64 cgroup_id;   /* of the accepting process */
	__u8 comm[COMM_SIZE];
	__u32 pid;            /* process, as the initial pid namespace numbers it; 0: not known */
	__u32 srtt_us;        /* in eighths; valid with CONN_SWEPT, or once it has closed */
	__u64 received_bytes; /* valid once it has closed, as the next two */
	__u64 sent_bytes;
	__u32 retransmitted_segments;
	__u32 reserved;
};

/* More of some connections, by cookie. */
struct extra {
	struct endpoint local;             /* IPv6, where the listener's slot does not tell it */
	struct toa_virtual virtual_server; /* family 0: none */
};

#endif
