/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* The operator's settings, as the daemon writes them: see records.h. */
#ifndef TOASCOPE_SETTINGS_H
#define TOASCOPE_SETTINGS_H

#include <linux/types.h>
#include "../kernel/toa_option.h"

/* How getsockopt(4096) answers. */
enum sockopt_mode {
	SOCKOPT_OFF = 0,
	SOCKOPT_MAPPED = 1, /* an IPv4 client as ::ffff:a.b.c.d */
	/* IPv4 clients get an error: some applications interpret success as an IPv6 client. */
	SOCKOPT_REFUSE = 2,
};

/* Answers that have a client of their own if profiles differ in their uses. */
enum answer { ANSWER_SOCKOPT = 0, ANSWER_PEERNAME = 1, ANSWERS = 2 };

/*
 * What the operator sets and a reload can change; two generations, so that a reload is one switch.
 */
struct settings {
	__u32 generation; /* of the networks in trust and of the entries in ports */
	__u32 events;     /* bits 1 << enum event_type: the records that go into the ring */
	__u8 trust_any;
	__u8 transparent;
	__u8 sockopt;         /* enum sockopt_mode */
	__u8 read_syn;        /* a profile is marked on_syn */
	__u8 split_uses;      /* profiles differ in their uses */
	__u8 virtual_servers; /* a profile names virtual servers */
	__u8 no_accepts;      /* accepts are not observed */
	__u8 label_port;      /* a listener is a port, at any address */
	__u32 netns;          /* inode number of the watched network namespace; 0: all */
	__u32 sampled_events; /* like `events`, but only records of sampled connections */
	__u64 retain_ns;      /* how long a closed connection stays in the table */
	/*
	 * Id of the cgroup whose sockets are handled; 0: all. Changes when the cgroup is recreated.
	 */
	__u64 served_cgroup;
	__u8 prefix_length[2]; /* of the address in a client's key; IPv4, IPv6 */
	/* clients of one such prefix share per_prefix_max entries; IPv4, IPv6 */
	__u8 per_prefix_length[2];
	__u32 per_prefix_max; /* 0: no prefix is limited */
	/*
	 * What samples a connection: see bpf/sampling.h. The threshold has 56 bits; 1 << 56: nothing is
	 * sampled by ratio. It is also written in place, between two reloads.
	 */
	__u64 sample_threshold;
	__u64 sample_accept_wait_ns; /* 0: not a condition */
	__u32 sample_retransmits;    /* 0: not a condition */
	__u32 reserved;
	struct toa_table table;
};

/* 64 local ports: which of them are watched, transparent, and sampled. */
struct port_bits {
	__u64 watched;
	__u64 transparent;
	__u64 sampled;
};

struct trust_key {
	__u32 prefix_length; /* includes the 64 bits of generation and family */
	__u32 generation;
	__u32 family;
	__u8 address[16];
};

TOA_STATIC_ASSERT(sizeof(struct trust_key) == 28, "trust_key");
TOA_STATIC_ASSERT(__builtin_offsetof(struct settings, table) == 72, "settings.table");

#endif
