/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/*
 * Everything that crosses between kernel and user space. The TypeScript side has its
 * offsets from here (daemon/capture/layout.gen.ts, made from the object's BTF).
 *
 * Integers are host order, times are CLOCK_MONOTONIC nanoseconds, byte counts are payload.
 * A change of any layout raises TOASCOPE_LAYOUT: pinned maps of another layout are not adopted, but what clients and
 * listeners counted is carried over, field by field, by name. So a field that changes its meaning changes its name, and
 * enums that index what is pinned grow at their end alone.
 */
#ifndef TOASCOPE_RECORDS_H
#define TOASCOPE_RECORDS_H

#include <linux/types.h>
#include "../kernel/toa_option.h"

#ifdef __cplusplus
#define RECORD_ASSERT(condition, what) static_assert(condition, what)
#else
#define RECORD_ASSERT(condition, what) _Static_assert(condition, what)
#endif

enum limit {
	TOASCOPE_LAYOUT = 6,
	HISTOGRAM_BUCKETS = 24, /* the last one has no upper bound */
	SEGMENTS = 3,
	COMM_SIZE = 16,
	PORT_WORDS = 1024,
	PROFILE_SLOTS = TOA_PROFILE_SLOTS,
	LIST_SIZE = TOA_LIST_SIZE,
	ABSENT = TOA_ABSENT,
	NO_PLACE = 0xffffffff,
	OTHER_LISTENER = 0,
	TAGS_IN_LINE = 16,
	UNKNOWN_OPTIONS = 64,
};

/* Upper bound of a histogram's first bucket; each further bound is twice the one before. */
enum first_bound {
	RTT_FIRST_NS = 62500,
	DURATION_FIRST_NS = 1000000,
	ACCEPT_WAIT_FIRST_NS = 62500,
};

enum family { FAMILY_NONE = 0, FAMILY_IPV4 = 4, FAMILY_IPV6 = 6 };

/* The verdict on a connection falls once. */
enum verdict {
	VERDICT_PENDING = 0,
	VERDICT_TOA = 1,
	VERDICT_NONE = 2,
	VERDICT_MALFORMED = 3,
	VERDICT_UNTRUSTED = 4,
	VERDICT_CONFLICT = 5,
	VERDICTS = 6,
};

/* Where the option was found. */
enum segment { SEGMENT_NONE = 0, SEGMENT_SYN = 1, SEGMENT_ACK = 2, SEGMENT_DATA = 3 };

/* How the accept of a connection was observed. */
enum seen { SEEN_NOT = 0, SEEN_FEXIT = 1, SEEN_GETPEERNAME = 2, SEEN_UNSEEN = 3, SEENS = 4 };

/*
 * Connections with the verdict VERDICT_NONE: whether the peer is trusted, and whether it sent data. A trusted peer that sends
 * neither an option nor data is a balancer's health check.
 */
enum without_option {
	WITHOUT_UNTRUSTED_NO_DATA = 0,
	WITHOUT_UNTRUSTED_DATA = 1,
	WITHOUT_TRUSTED_NO_DATA = 2,
	WITHOUT_TRUSTED_DATA = 3,
	WITHOUT_KINDS = 4,
};

/* Everything that is not recorded, by reason. */
enum drop {
	DROP_SOCKET_STORAGE = 0,     /* no memory for a connection's state: it is not tracked at all */
	DROP_LISTENERS_FULL = 1,     /* a connection counted under listener="other" */
	DROP_CLIENTS_FULL = 2,       /* a connection counted under client="other" */
	DROP_CONNECTIONS_FULL = 3,   /* not in the table for lookups: it holds open ones only */
	DROP_CONNECTION_EVICTED = 4, /* a closed one left the table before its time */
	DROP_CONNECTION_SLOT = 5,    /* a place in that table was lost: the queue of free ones refused it */
	DROP_RING_FULL = 6,          /* a record for traces and live views lost */
	DROP_CLIENT_FOLDING =
		7, /* a connection counted under client="other": its client was leaving the table */
	DROP_UNKNOWN_OPTIONS_FULL =
		8, /* an option of a trusted sender that no profile takes, of a kind beyond the first that were counted */
	DROP_SYN_NOT_KEPT = 9,     /* a listener that was to keep SYNs does not */
	DROP_LISTENER_SLOT = 10,   /* a place of a listener was lost: the stack of spare ones refused it */
	DROP_CLOSE_UNHEARD = 11,   /* a connection that was found gone: no callback told of its close */
	DROP_ANNOUNCED_FULL = 12,  /* what toa.ko said of a connection was lost: it counts as without TOA */
	DROP_CLIENTS_BUSY = 13,    /* as DROP_CLIENTS_FULL, but the table was in use on its CPU */
	DROP_ANNOUNCED_BUSY = 14,  /* as DROP_ANNOUNCED_FULL: both tables were in use on its CPU */
	DROP_ANNOUNCED_STALE = 15, /* what toa.ko had said of a socket whose address is another's now */
	DROP_SYN_MISSING = 16, /* a connection whose SYN was not kept, while a profile is looked for there */
	DROP_ANSWERS = 17,     /* no memory for what a connection answers beside its client */
	DROPS = 18,
};

enum event_type { EVENT_OPENED = 1, EVENT_ACCEPTED = 2, EVENT_CLOSED = 3 };

struct endpoint {
	__u8 address[16]; /* IPv4 in the first four bytes, the rest zero */
	__u16 port;
	__u8 family; /* enum family */
	__u8 reserved;
};

/* family FAMILY_NONE: the listener "other", for those that found the table full. Its place is OTHER_LISTENER. */
struct listener_key {
	struct endpoint local;
};

/*
 * A slot of the table of listeners. `service` is even while new connections may count there, and odd when the slot is being
 * given back; it grows with each use, so that who comes late knows that the slot is another's.
 */
struct listener_slot {
	struct listener_key key;
	__u32 service;
	__u64 active_ns; /* when a connection last opened or closed, a second more or less */
};

/* Argument of the program that gives a listener's slot back. */
struct listener_request {
	struct listener_key key;
	__u32 slot;
};

struct client_key {
	__u8 address[16]; /* cut to prefix_length */
	__u8 family;
	__u8 prefix_length;
	__u16 reserved;
	struct endpoint listener;
};

/* Each field only grows. RTT samples are the kernel's smoothed RTT. */
struct traffic {
	__u64 opened;
	__u64 closed;
	__u64 received_bytes;
	__u64 sent_bytes;
	__u64 retransmitted_segments;
	__u64 rtt_sum_ns;
	__u64 rtt_count;
	__u64 duration_sum_ns; /* of the closed ones */
};

struct client {
	struct traffic traffic;
	__u64 created_ns;
	__u64 active_ns; /* last time that anything was counted */
	__u64 tag;       /* client_tag() of its key; 0: it is being folded, and programs count elsewhere */
};

/* What tells whose an entry is: the kernel uses the memory of one that was deleted at once again. Never 0. */
static inline __u64 client_tag(const struct client_key *key)
{
	__u64 words[sizeof(*key) / 8], mixed = 0;
	unsigned int i;

	__builtin_memcpy(words, key, sizeof(*key));
	for (i = 0; i < sizeof(*key) / 8; i++) {
		mixed = (mixed ^ words[i]) * 0x9e3779b97f4a7c15ULL;
		mixed ^= mixed >> 32;
	}
	return mixed | 1;
}

struct histogram {
	__u64 sum_ns;
	__u64 buckets[HISTOGRAM_BUCKETS]; /* not cumulative */
};

/* One for each CPU; the sum over CPUs is the value. */
struct listener {
	struct traffic total;
	struct traffic direct;   /* connections without a believable TOA */
	struct traffic overflow; /* of clients that found the client table full */
	struct traffic folded;   /* what ended series had shown */
	struct traffic unshown;  /* of clients that have left the table without, or before, a series */
	__u64 handshakes[VERDICTS];
	__u64 options[TOA_PROFILE_SLOTS][SEGMENTS]; /* by profile id, and enum segment less one */
	__u64 accepts[SEENS];
	__u64 without_option[WITHOUT_KINDS];
	__u64 hidden_by_family; /* transparent, but the client is IPv6 and the socket AF_INET: it stays the peer */
	struct histogram rtt; /* without health checks, as the next */
	struct histogram duration;
	struct histogram accept_wait;
};

/* An entry of the table for lookups. Its place is used again, oldest first, once the connection has closed. */
struct connection {
	__u64 cookie; /* 0: being written */
	__u64 opened_ns;
	__u64 accepted_ns; /* 0: not accepted, or not seen */
	__u64 closed_ns;   /* 0: open */
	__u64 received_bytes;
	__u64 sent_bytes;
	__u64 cgroup_id; /* of the accepting process */
	__u32 retransmitted_segments;
	__u32 srtt_us;
	__u32 netns; /* inode number of the network namespace */
	__u32 pid;   /* process, as the initial pid namespace numbers it */
	struct endpoint local;
	struct endpoint peer;
	struct endpoint client; /* family FAMILY_NONE: no believable TOA; port 0: the option carries none */
	struct toa_virtual virtual_server;
	__u8 comm[COMM_SIZE];
	__u8 verdict;
	__u8 profile;
	__u8 segment;
	__u8 seen;
	__u32 flushed;    /* 2^30 ns: when a flush last came by the open socket, or 0 */
	__u16 listener;   /* its place */
	__u8 in_overflow; /* counts under client="other" */
	__u8 missed;      /* the run of the reaper that found it gone, or 0 */
};

/*
 * The tags of connections with neighbouring places: who looks for a peer scans the tags, and then
 * compares the addresses. 0: there was no connection yet.
 */
struct tag_line {
	__u32 tags[TAGS_IN_LINE];
};

/*
 * What a peer's address and port look like at a glance; never 0. The multipliers are secret (LEDGER_PEER_KEY): a peer who has
 * a network to choose addresses from cannot choose those that look alike, and make lookups read all of them.
 */
static inline __u32 peer_tag(const struct endpoint *peer, __u64 key)
{
	__u64 words[2], mixed;

	__builtin_memcpy(words, peer->address, sizeof(words));
	mixed = (words[0] ^ (__u64)peer->port << 32 ^ peer->family) * (key | 1);
	mixed = (mixed ^ mixed >> 32 ^ words[1]) * ((key >> 32 | key << 32) | 1);
	return mixed >> 32 | 1;
}

struct event {
	__u32 type;
	__u32 reserved;
	struct connection connection;
};

/* What of a client's address tells it from others. */
struct prefix {
	__u32 mask[4]; /* network order, laid out as the address */
	__u32 length;
};

/* An option that no active profile takes, seen on a trusted sender's connection without TOA: what a wrong profile looks like. */
struct unknown_option {
	__u8 kind;
	__u8 length;
};

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
	__u8 reserved[2];
	__u32 netns;     /* inode number of the one that is watched; 0: all are */
	__u64 retain_ns; /* a closed connection is to stay in the table for so long */
	__u64 served_cgroup; /* id of the cgroup whose sockets are served; 0: all. It changes when the cgroup is made anew. */
	struct prefix prefix[2]; /* IPv4, IPv6 */
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

/* Argument of the program that folds a client, and of the one that retires it. */
struct fold_request {
	struct client_key key;
	__u32 shown;         /* it had a series: base is valid */
	struct traffic base; /* what of it had gone into "other" before its series began */
};

/* Argument of the program that closes what is gone. Run again with one argument, it goes from place to place. */
struct reap_request {
	__u64 flushed_ns; /* when the latest flush that went to its end began */
	__u32 place;      /* the first */
	__u32 protocol; /* 0: an Ethernet header ends here, and of IP the kernel runs no packet this short */
	__u32 run;      /* from 1 to 255 */
	__u32 netns;    /* inode number of the network namespace that the flush read; 0: it read all */
};

/* A series of the exported set. Pinned with the counters: a restart shows the same series. */
struct exported {
	struct traffic base;
	__u64 since_ns; /* wall clock, nanoseconds since 1970; 0: it has ended, its client has left the table */
};

/* What must outlive the daemon and is no client's. */
enum ledger_entry {
	LEDGER_CLASSIFIED_NS = 0, /* clients made before have been given a series, or put into "other" */
	LEDGER_FOLDED = 1,        /* clients folded so far */
	LEDGER_FOUNDATION = 2,    /* daemon/capture/foundation.ts */
	LEDGER_PEER_KEY = 3,      /* random, of peer_tag(); not 0 once the maps are there */
	LEDGER_LISTENERS_FOLDED = 4,
	LEDGER_ENTRIES = 5,
};

/* A descriptor that listens; one line for each from the listeners' iterator. */
struct owner {
	struct endpoint local;
	__u32 netns;
	__u32 pid;
	__u64 cgroup_id;
	__u64 started_ns;
	__u8 comm[COMM_SIZE];
	__u32 fd;
	__u8 keeps_syns;    /* TCP_SAVE_SYN */
	__u8 kept_for_us;   /* and we set it, or may have: the mark in syn_kept tells */
	__u8 defers_accept; /* TCP_DEFER_ACCEPT */
	__u8 transparent;   /* IP_TRANSPARENT: its connections may have other local ports */
};

RECORD_ASSERT(sizeof(struct toa_profile) == 16, "toa_profile");
RECORD_ASSERT(sizeof(struct toa_client) == 20, "toa_client");
RECORD_ASSERT(sizeof(struct endpoint) == 20, "endpoint");
RECORD_ASSERT(sizeof(struct listener_key) == 20, "listener_key");
RECORD_ASSERT(sizeof(struct listener_slot) == 32, "listener_slot");
RECORD_ASSERT(sizeof(struct listener_request) == 24, "listener_request");
RECORD_ASSERT(sizeof(struct client_key) == 40, "client_key");
RECORD_ASSERT(sizeof(struct traffic) == 64, "traffic");
RECORD_ASSERT(sizeof(struct client) == 88, "client");
RECORD_ASSERT(sizeof(struct connection) == 184, "connection");
RECORD_ASSERT(sizeof(struct event) == 192, "event");
RECORD_ASSERT(sizeof(struct tag_line) == 64, "tag_line");
RECORD_ASSERT(sizeof(struct unknown_option) == 2, "unknown_option");
RECORD_ASSERT(sizeof(struct trust_key) == 28, "trust_key");
RECORD_ASSERT(sizeof(struct reap_request) == 24, "reap_request");
RECORD_ASSERT(__builtin_offsetof(struct reap_request, protocol) == 12, "reap_request.protocol");
RECORD_ASSERT(sizeof(struct exported) == 72, "exported");
RECORD_ASSERT(sizeof(struct owner) == 72, "owner");
RECORD_ASSERT(__builtin_offsetof(struct settings, table) == 80, "settings.table");

#endif
