/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Numbers that kernel and user space share: see records.h. */
#ifndef TOASCOPE_ENUMS_H
#define TOASCOPE_ENUMS_H

#include "../kernel/toa_rules.h"

enum constant {
	TOASCOPE_LAYOUT = 10,
	HISTOGRAM_BUCKETS = 24, /* the last one has no upper bound */
	SEGMENTS = 3,
	COMM_SIZE = 16,
	PORT_WORDS = 1024,
	PROFILE_SLOTS = TOA_PROFILE_SLOTS,
	LIST_SIZE = TOA_LIST_SIZE,
	ABSENT = TOA_ABSENT,
	OTHER_LISTENER = 0,
	SLOTS_PER_RUN = 64, /* scanned by one run of toascope_sweep */
	LISTENER_ROWS_MAX = 16,
	LISTENER_ROWS_TOTAL = 8192, /* with more than 1/16 as many listeners, each has fewer rows */
	HASHES_PER_LINE = 8,
	SLOTS_PER_BLOCK = 1024, /* with one change mark: hashes.h */
	EVICTED_PERIODS = 8,    /* of 2^EVICTED_SHIFT ns: 34 s */
	EVICTED_SHIFT = 35,
	CLIENT_PORT_BITS = 12, /* of a client's hash: its port */
	UNKNOWN_OPTIONS = 64,
};

/* Upper bound of a histogram's first bucket; each further bound is twice the one before. */
enum first_bound {
	RTT_FIRST_NS = 62500,
	DURATION_FIRST_NS = 1000000,
	ACCEPT_WAIT_FIRST_NS = 62500,
};

enum family { FAMILY_NONE = 0, FAMILY_IPV4 = 4, FAMILY_IPV6 = 6 };

/* How the accept of a connection was observed. */
enum accept_kind {
	ACCEPT_PENDING = 0,
	ACCEPT_FEXIT = 1,
	ACCEPT_GETPEERNAME = 2,
	ACCEPT_UNOBSERVED = 3,
	ACCEPT_KINDS,
};

/*
 * Connections with the verdict TOA_VERDICT_NONE, by whether the peer is trusted and whether it sent
 * data. A trusted peer that sends neither an option nor data is a balancer's health check.
 */
enum without_option {
	WITHOUT_UNTRUSTED_NO_DATA = 0,
	WITHOUT_UNTRUSTED_DATA = 1,
	WITHOUT_TRUSTED_NO_DATA = 2,
	WITHOUT_TRUSTED_DATA = 3,
	WITHOUT_KINDS,
};

/* Everything that is not recorded, by reason. */
enum drop {
	/* No memory for a connection's state: the connection is not tracked at all. */
	DROP_SOCKET_STORAGE = 0,
	/* A connection was counted under listener="other". */
	DROP_LISTENERS_FULL = 1,
	/* A connection was counted under client="other". */
	DROP_CLIENTS_FULL = 2,
	/*
	 * All slots of a connection are taken by open ones: lookups do not find it, and it is
	 * counted from socket storage.
	 */
	DROP_CONNECTIONS_FULL = 3,
	/* A closed connection was overwritten before its retention time was over. */
	DROP_CONNECTION_EVICTED = 4,
	/* 5 is not reused: it counted what layouts before 7 lost to a queue. */
	/* A record for spans was dropped. */
	DROP_RING_FULL = 6,
	/* A connection was counted under client="other" because its client was being folded. */
	DROP_CLIENT_FOLDING = 7,
	/*
	 * `unknown_options` is full: a trusted peer's option that no profile defines was dropped.
	 */
	DROP_UNKNOWN_OPTIONS_FULL = 8,
	/* A listener that should keep SYNs does not. */
	DROP_SYN_NOT_KEPT = 9,
	/* A listener's slot was lost: the stack of spare slots refused it. */
	DROP_LISTENER_SLOT = 10,
	/* A connection was found gone, without a callback for its close. */
	DROP_CLOSE_UNHEARD = 11,
	/* There was no room for what toa.ko reported: the connection counts as one without TOA. */
	DROP_ANNOUNCED_FULL = 12,
	/*
	 * A connection was counted under client="other" because the client table was in use on the
	 * same CPU.
	 */
	DROP_CLIENTS_BUSY = 13,
	/*
	 * Both tables for the reports of toa.ko were in use on the same CPU: the connection counts
	 * as one without TOA.
	 */
	DROP_ANNOUNCED_BUSY = 14,
	/* A report of toa.ko was stale: another socket has that address now. */
	DROP_ANNOUNCED_STALE = 15,
	/* A connection's SYN was not kept, although a profile looks for options there. */
	DROP_SYN_MISSING = 16,
	/* No memory for what a connection stores in addition to its client. */
	DROP_ANSWERS = 17,
	/*
	 * A connection was counted under its client's prefix, whose share of the table is used up.
	 */
	DROP_CLIENTS_PER_PREFIX = 18,
	DROPS,
};

/* What counted the connections that had closed. */
enum counted_by {
	COUNTED_BY_SWEEP = 0,
	COUNTED_BY_REUSE = 1, /* a new connection needed the slot: the sweep is too slow */
	COUNTED_BY_CLOSE = 2, /* it was in socket storage */
	COUNTED_BYS,
};

/* What the programs that the daemon runs return: fold, retire, free_listener, recount, sweep. */
enum run_result {
	RUN_OK = 0,      /* done, or nothing left to do */
	RUN_MISSING = 1, /* the request is malformed, or there is no such entry */
	/* Not now: it has open connections, is not retired, or the kernel refused a deletion. */
	RUN_IN_USE = 2,
	RUN_ENDED = 3, /* folded, but the entry of its series is still there, marked as ended */
};

enum event_type { EVENT_OPENED = 1, EVENT_ACCEPTED = 2, EVENT_CLOSED = 3 };

/* Why a connection is sampled: every connection that meets a condition is. */
enum sampled_by { SAMPLED_NOT = 0, SAMPLED_BY_RATIO = 1, SAMPLED_BY_CONDITION = 2 };

#endif
