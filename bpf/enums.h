/* SPDX-License-Identifier: GPL-2.0-only OR Apache-2.0 */
/* Numbers that cross between kernel and user space: see records.h. */
#ifndef TOASCOPE_ENUMS_H
#define TOASCOPE_ENUMS_H

#include "../kernel/toa_option.h"

enum limit {
	TOASCOPE_LAYOUT = 7,
	HISTOGRAM_BUCKETS = 24, /* the last one has no upper bound */
	SEGMENTS = 3,
	COMM_SIZE = 16,
	PORT_WORDS = 1024,
	PROFILE_SLOTS = TOA_PROFILE_SLOTS,
	LIST_SIZE = TOA_LIST_SIZE,
	ABSENT = TOA_ABSENT,
	OTHER_LISTENER = 0,
	SLOTS_A_RUN = 64, /* that one run of toascope_sweep looks at */
	LISTENER_ROWS_MAX = 16,
	LISTENER_ROWS_TOTAL = 8192, /* with more listeners than a sixteenth of it, each has fewer rows */
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
	DROP_SOCKET_STORAGE = 0, /* no memory for a connection's state: it is not tracked at all */
	DROP_LISTENERS_FULL = 1, /* a connection counted under listener="other" */
	DROP_CLIENTS_FULL = 2,   /* a connection counted under client="other" */
	DROP_CONNECTIONS_FULL =
		3, /* not in the table for lookups: its slots have open ones. It is counted from socket storage. */
	DROP_CONNECTION_EVICTED = 4, /* a closed one left the table before its time */
	/* 5: what layouts before 7 lost to a queue */
	DROP_RING_FULL = 6, /* a record for traces and live views lost */
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
	DROP_CLIENTS_PER_PREFIX =
		18, /* a connection counted under its client's prefix: that has its share of the table */
	DROPS = 19,
};

/* Who counted connections that had closed. */
enum counted_by {
	COUNTED_BY_SWEEP = 0,
	COUNTED_BY_REUSE = 1, /* a new connection needed the slot: the sweep is too slow */
	COUNTED_BY_CLOSE = 2, /* it was in socket storage */
	COUNTED_BYS = 3,
};

enum event_type { EVENT_OPENED = 1, EVENT_ACCEPTED = 2, EVENT_CLOSED = 3 };

#endif
