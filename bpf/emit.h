/* SPDX-License-Identifier: GPL-2.0-only */
/* Records of connections for user space, where something reads them. No counter depends on them. */
#ifndef TOASCOPE_EMIT_H
#define TOASCOPE_EMIT_H

#include "config.h"
#include "count.h"
#include "endpoint.h"
#include "slots.h"

static __always_inline bool is_listened(const struct settings *set, __u32 type)
{
	return set->events >> type & 1;
}

/* The end of the connection at this host, as its listener, its entry or `extras` tells. */
static __always_inline void read_local(const struct connection *of, __u64 cookie, struct event *event)
{
	__u32 slot = of->listener;
	const struct listener_slot *listener = bpf_map_lookup_elem(&listener_keys, &slot);
	const struct extra *extra = of->flags & CONN_EXTRA ? bpf_map_lookup_elem(&extras, &cookie) : 0;

	if (extra)
		event->virtual_server = extra->virtual_server;
	if (of->local4) {
		__builtin_memcpy(event->local.address, &of->local4, sizeof(of->local4));
		event->local.family = FAMILY_IPV4;
		event->local.port = of->local_port;
	} else if (extra) {
		event->local = extra->local;
	} else if (listener && listener->service >> 1 == of->listener_service >> 1) {
		event->local = listener->key.local;
	}
}

/* Not inlined: the stack of the callers is full on 5.10. */
static __noinline int begin_event(struct event *event, const struct connection *connection, __u64 cookie,
				  __u32 type)
{
	__builtin_memset(event, 0, sizeof(*event));
	event->type = type;
	read_local(connection, cookie, event);
	return 0;
}

/*
 * A value that the compiler knows nothing of, and the verifier everything: so it comes out of a comparison, and goes into one, as it
 * is written here.
 */
static __always_inline __u64 opaque(__u64 value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/*
 * A record of what is about to happen to a connection. Verifiers before 6.5 take a pointer into the ring that is compared with 0 twice for one
 * that may be 0; so opaque numbers of 64 bits, which old verifiers know on the stack as well, say what there is.
 */
struct reserved_event {
	struct event *event;
	__u64 is_reserved; /* 0: nothing reads such records, or there is no room */
	__u64 has_no_room;
};

/*
 * Reserves an event. The caller looks under the entry's lock whether it happens, copies the entry there, and finishes the event. What is read
 * here without the lock does not change while the entry is the connection's, but that a virtual server can be added to it.
 */
static __always_inline struct reserved_event
reserve_event(const struct settings *set, const struct connection *connection, __u64 cookie, __u32 type)
{
	struct reserved_event reserved = {};

	if (!set || !is_listened(set, type))
		return reserved;
	reserved.event = bpf_ringbuf_reserve(&ring, sizeof(*reserved.event), 0);
	if (reserved.event) {
		reserved.is_reserved = opaque(1);
		begin_event(reserved.event, connection, cookie, type);
	} else {
		reserved.has_no_room = opaque(1);
	}
	return reserved;
}

/* The caller holds the entry's lock. */
static __always_inline void copy_to_event(const struct reserved_event *reserved,
					  const struct connection *connection)
{
	const __u8 *from = (const __u8 *)connection;

	if (opaque(reserved->is_reserved))
		__builtin_memcpy((__u8 *)&reserved->event->connection + sizeof(RECORD_LOCK),
				 from + sizeof(RECORD_LOCK), sizeof(*connection) - sizeof(RECORD_LOCK));
}

/* The daemon drains every 50 ms: a wake-up for each event would cost the server more than the event. */
static __always_inline void finish_event(const struct reserved_event *reserved, bool happened)
{
	if (happened && opaque(reserved->has_no_room))
		count_drop(DROP_RING_FULL);
	if (!opaque(reserved->is_reserved))
		return;
	if (happened)
		bpf_ringbuf_submit(reserved->event, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_discard(reserved->event, BPF_RB_NO_WAKEUP);
}

#endif
