/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps, shared by all programs. They are weak: every program file has them, the
 * linker keeps one of each. Sizes marked so are set by the daemon before loading.
 */
#ifndef TOASCOPE_MAPS_H
#define TOASCOPE_MAPS_H

#include "core.h"
#include "records.h"

/*
 * A connection's state, in its socket's storage: gone with the socket, whatever happens.
 * The lock orders those who count: callbacks hold the socket, the flush iterator does not.
 * With the storage element's 72 bytes of its own it must stay within kmalloc-192.
 */
struct socket_state {
	struct bpf_spin_lock lock;
	__u32 place; /* in the table of connections, or NO_PLACE */
	__u64 cookie;
	__u64 opened_ns;
	__u64 received; /* payload counted so far */
	__u64 sent;
	__u64 seen_received; /* raw, at the flush before: see account.h */
	__u64 seen_acked;
	__u64 rtt_sampled_ns;
	__u32 retransmitted;
	__u8 verdict;
	__u8 segment;
	__u8 seen; /* enum seen */
	__u8 closed;
	__u8 in_overflow; /* counts under client="other": stays so until it closes */
	__u8 saw_malformed;
	__u8 syn_verdict;  /* of the option on the SYN; falls unless a later segment has one */
	__u16 listener;    /* place in the table of listeners */
	__u8 health_check; /* without option and data, of a trusted peer: it is in no histogram */
	__u8 grafted;      /* a flush has seen that it was accepted */
	__u8 parse_flag;   /* we asked for option callbacks, nobody before us had */
	__u8 wished;       /* the verdict is to fall by a wish: see turns.h */
	__u8 unknown_kind; /* of the last option that no profile takes and no standard names; 0: none */
	__u8 unknown_length;
	struct toa_client client;
	__u32 listener_service; /* of that place, when the connection opened */
	__u8 joined;            /* a further path of a connection (MPTCP): see mptcp.h */
	__u8 peername_family; /* with settings.split_uses: of the client that getpeername() shows; 0: there is none */
};

_Static_assert(sizeof(struct socket_state) <= 120, "an element of kmalloc-192");

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_state);
} sockets __weak SEC(".maps");

/*
 * What applications are answered beside the state's client. There is one only where an active profile asks for it
 * (settings.split_uses and virtual_servers).
 */
struct socket_answers {
	struct toa_client client[ANSWERS]; /* by enum answer, with settings.split_uses; family 0: none */
	struct toa_virtual virtual_server;
	__u8 by_use;        /* the clients were looked for: profiles differed in their uses when it opened */
	__u8 virtual_known; /* its sender is trusted; it does not change any more, since who asks takes no lock */
	__u8 reserved[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_answers);
} answers __weak SEC(".maps");

/* What the socket of an MPTCP connection knows from its first path. */
struct mptcp_state {
	struct toa_client client;
	__u32 listener_service;
	__u16 listener;
	__u8 known; /* there is a client */
	__u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mptcp_state);
} mptcp_states __weak SEC(".maps");

/*
 * Room for the option list that is being parsed, and for the clients in it: a stack is too small on 5.10. Who has the lock is not
 * interrupted; CPUs may share a place.
 */
struct reading {
	struct bpf_spin_lock lock;
	struct toa_list list;
	struct toa_client client;
	struct toa_client other;
};

enum { READINGS = 64 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, READINGS);
	__type(key, __u32);
	__type(value, struct reading);
} readings __weak SEC(".maps");

/* What a connection did so far. */
struct progress {
	__u64 received;
	__u64 sent;
	__u32 retransmitted;
	__u32 srtt_us; /* in eighths */
};

/* What a callback asks of who has the turn: see turns.h. */
struct wish_key {
	__u64 cookie;
	__u64 kind; /* enum wish_kind */
};

enum wish_kind { WISH_VERDICT = 0, WISH_CLOSE = 1 };

struct wish {
	__u64 now;            /* WISH_CLOSE */
	struct progress last; /* WISH_CLOSE */
	__u8 verdict;         /* WISH_VERDICT, as are the next two */
	__u8 segment;
	__u8 data;
	__u8 reserved[5];
};

/* A connection that nobody was seen to accept yet. */
struct unaccepted {
	__u64 opened_ns;
	__u32 place;
	__u32 listener;
};

/*
 * The next three are made only where programs of type tracing may take no spin lock.
 * Whose turn it is at a connection's state, by cookie: one for each program that is running.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} turns __weak SEC(".maps");

/* at most two for each flush that is running */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, struct wish_key);
	__type(value, struct wish);
} wishes __weak SEC(".maps");

/* by cookie; size: connections.max. Who takes a connection out has seen its accept, nobody else. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct unaccepted);
} unaccepted __weak SEC(".maps");

/* Listeners that keep the SYNs of their connections for us: the mark says that it was not the application's wish. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} syn_kept __weak SEC(".maps");

/*
 * A connection looks for its listener's place once, when it opens, and no place changes hands while one of its connections
 * is open. Sizes: listeners.max, and one for "other".
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 257);
	__type(key, __u32);
	__type(value, struct listener);
} listeners __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 257);
	__type(key, __u32);
	__type(value, struct listener_slot);
} listener_keys __weak SEC(".maps");

/*
 * What listeners before had counted at a place, and "other" shows: the one that has the place now began from there. Written
 * by the daemon only.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 257);
	__type(key, __u32);
	__type(value, struct listener);
} listener_bases __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 257);
	__type(key, struct listener_key);
	__type(value, __u32);
} listener_places __weak SEC(".maps");

/* size: listeners.max; places that were given back, or taken for a listener which had one already */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 256);
	__type(value, __u32);
} spare_listeners __weak SEC(".maps");

/* size: clients.capacity */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, struct client_key);
	__type(value, struct client);
} clients __weak SEC(".maps");

/* size: clients.capacity; written by the daemon alone, pinned with the counters */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct client_key);
	__type(value, struct exported);
} exported __weak SEC(".maps");

/*
 * Wall clock, nanoseconds since 1970: when a listener's counters were 0; 0: nothing says when, it came from another layout. Size and
 * writer: as `listener_places`, and the daemon alone.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 257);
	__type(key, struct listener_key);
	__type(value, __u64);
} listener_since __weak SEC(".maps");

/* enum ledger_entry; pinned with the counters */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LEDGER_ENTRIES);
	__type(key, __u32);
	__type(value, __u64);
} ledger __weak SEC(".maps");

/* size: connections.max */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536);
	__type(key, __u32);
	__type(value, struct connection);
} connections __weak SEC(".maps");

/* size: connections.max / TAGS_IN_LINE; user space has it in its memory */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 65536 / TAGS_IN_LINE);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct tag_line);
} peer_tags __weak SEC(".maps");

/* size: connections.max; the places of closed connections, the oldest first */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 65536);
	__type(value, __u32);
} closed_queue __weak SEC(".maps");

/* Places that were never used. A lock and not an atomic add with a result: 5.10 has none. */
struct fresh_places {
	struct bpf_spin_lock lock;
	__u32 next;
};

enum fresh_of { FRESH_CONNECTION = 0, FRESH_LISTENER = 1, FRESH_KINDS = 2 };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, FRESH_KINDS);
	__type(key, __u32);
	__type(value, struct fresh_places);
} fresh __weak SEC(".maps");

/* size: bpf.ring_bytes */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4194304);
} ring __weak SEC(".maps");

/* connections on which it was seen */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, UNKNOWN_OPTIONS);
	__type(key, struct unknown_option);
	__type(value, __u64);
} unknown_options __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROPS);
	__type(key, __u32);
	__type(value, __u64);
} drops __weak SEC(".maps");

/* which of the two settings counts: one aligned store switches all of them */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} generation __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct settings);
} settings __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2 * PORT_WORDS);
	__type(key, __u32);
	__type(value, struct port_bits);
} ports __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 16384);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct trust_key);
	__type(value, __u32);
} trust __weak SEC(".maps");

#endif
