/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* What the operator sets, as the daemon writes it: see records.h. */
#ifndef TOASCOPE_SETTINGS_H
#define TOASCOPE_SETTINGS_H

#include <linux/types.h>
#include "../kernel/toa_option.h"

/* What getsockopt(4096) answers. */
enum sockopt_mode {
	SOCKOPT_OFF = 0,
	SOCKOPT_MAPPED = 1, /* an IPv4 client as ::ffff:a.b.c.d */
	SOCKOPT_REFUSE = 2, /* an IPv4 client as no client: for applications that take success for IPv6 */
};

/* Answers that have a client of their own, where profiles differ in their uses. */
enum answer { ANSWER_SOCKOPT = 0, ANSWER_PEERNAME = 1, ANSWERS = 2 };

/* What the operator sets and a reload may change; two generations, so that a reload is one switch. */
struct settings {
	__u32 generation; /* of the networks in trust and of the entries in ports */
	__u32 events;     /* bits 1 << enum event_type: what goes into the ring */
	__u8 trust_any;
	__u8 transparent;
	__u8 sockopt;         /* enum sockopt_mode */
	__u8 read_syn;        /* a profile is marked on_syn */
	__u8 split_uses;      /* profiles differ in their uses */
	__u8 virtual_servers; /* a profile names virtual servers */
	__u8 no_accepts;      /* which process accepts is not observed */
	__u8 label_port;      /* a listener is a port, at whichever address */
	__u32 netns;          /* inode number of the one that is watched; 0: all are */
	__u64 retain_ns;      /* a closed connection is to stay in the table for so long */
	__u64 served_cgroup; /* id of the cgroup whose sockets are served; 0: all. It changes when the cgroup is made anew. */
	__u8 prefix_length[2]; /* what of a client's address tells it from others; IPv4, IPv6, as the next */
	__u8 per_prefix_length[2]; /* clients of one such prefix share per_prefix_max entries */
	__u32 per_prefix_max;      /* 0: no prefix is limited */
	struct toa_table table;
};

/* 64 local ports: which of them are watched, and which of them are transparent */
struct port_bits {
	__u64 watched;
	__u64 transparent;
};

struct trust_key {
	__u32 prefix_length; /* counts the 64 bits of generation and family */
	__u32 generation;
	__u32 family;
	__u8 address[16];
};

RECORD_ASSERT(sizeof(struct trust_key) == 28, "trust_key");
RECORD_ASSERT(__builtin_offsetof(struct settings, table) == 48, "settings.table");

#endif
