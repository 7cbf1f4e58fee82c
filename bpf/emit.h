/* SPDX-License-Identifier: GPL-2.0-only */
/* Emits records of connections while user space reads them. No counter depends on them. */
#ifndef TOASCOPE_EMIT_H
#define TOASCOPE_EMIT_H

#include "config.h"
#include "count.h"
#include "endpoint.h"
#include "sampling.h"
#include "slots.h"

/* Returns whether the records of this type go into the ring for every connection. */
static __always_inline bool event_enabled(const struct settings *set, __u32 type)
{
	return set->events >> type & 1;
}

/* Reads the local end from the listener, the entry or `extras`; and the virtual server. */
static __always_inline void read_local(const struct connection *connection, __u64 cookie, struct event *event)
{
	__u32 slot = connection->listener;
	const struct listener_slot *listener = bpf_map_lookup_elem(&listener_keys, &slot);
	const struct extra *extra =
		connection->flags & CONN_EXTRA ? bpf_map_lookup_elem(&extras, &cookie) : 0;

	if (extra)
		event->virtual_server = extra->virtual_server;
	if (connection->local4) {
		__builtin_memcpy(event->local.address, &connection->local4, sizeof(connection->local4));
		event->local.family = FAMILY_IPV4;
		event->local.port = connection->local_port;
	} else if (extra) {
		event->local = extra->local;
	} else if (listener && listener->service >> 1 == connection->listener_service >> 1) {
		event->local = listener->key.local;
	}
}

/* Not inlined, to keep its stack frame out of its caller's: a chain of calls has 512 bytes. */
static __noinline int begin_event(struct event *event, const struct connection *connection, __u64 cookie,
				  __u32 type)
{
	__builtin_memset(event, 0, sizeof(*event));
	event->type = type;
	read_local(connection, cookie, event);
	return 0;
}

/*
 * Hides a value from the compiler, not from the verifier: a comparison of it stays where it is
 * written here, and is not replaced by one of what the value came from.
 */
static __always_inline __u64 hide_from_compiler(__u64 value)
{
	asm volatile("" : "+r"(value));
	return value;
}

/*
 * A record, reserved for what may be about to happen to a connection. If a pointer into the ring is
 * compared with 0 twice, verifiers before 6.5 again assume that it can be 0; so numbers that are
 * hidden from the compiler say whether there is one. They have 64 bits, because old verifiers track
 * constants on the stack only in that size.
 */
struct reserved_event {
	struct event *event;
	__u64 is_reserved; /* 0: such records are not read, or the ring is full */
	__u64 ring_full;
};

/*
 * Reserves an event. Under the entry's lock, the caller checks whether the event happens and copies
 * the entry into it; then the caller finishes the event. What is read here without the lock does
 * not change while the entry is the connection's, except that a virtual server can be added.
 */
static __always_inline struct reserved_event reserve_event(const struct settings *set,
							   const struct connection *connection, __u64 cookie,
							   __u32 type, const struct sample_facts *facts)
{
	struct reserved_event reserved = {};
	__u64 threshold;
	__u16 by = SAMPLED_NOT;

	if (!set)
		return reserved;
	threshold = *(const volatile __u64 *)&set->sample_threshold;
	if (set->sampled_events >> type & 1)
		by = sampled_by(set, connection, cookie, threshold, facts);
	if (by == SAMPLED_NOT && !event_enabled(set, type))
		return reserved;
	reserved.event = bpf_ringbuf_reserve(&ring, sizeof(*reserved.event), 0);
	if (reserved.event) {
		reserved.is_reserved = hide_from_compiler(1);
		begin_event(reserved.event, connection, cookie, type);
		reserved.event->sampled_by = by;
		reserved.event->sample_threshold = threshold;
	} else {
		reserved.ring_full = hide_from_compiler(1);
	}
	return reserved;
}

/* The caller holds the entry's lock. */
static __always_inline void copy_to_event(const struct reserved_event *reserved,
					  const struct connection *connection)
{
	const __u8 *from = (const __u8 *)connection;

	if (hide_from_compiler(reserved->is_reserved))
		__builtin_memcpy((__u8 *)&reserved->event->connection + sizeof(RECORD_LOCK),
				 from + sizeof(RECORD_LOCK), sizeof(*connection) - sizeof(RECORD_LOCK));
}

/*
 * Submits the event if it happened, otherwise discards it. No process is woken: a wake-up would
 * cost the server more than the event, and the daemon drains the ring every 50 ms.
 */
static __always_inline void finish_event(const struct reserved_event *reserved, bool happened)
{
	if (happened && hide_from_compiler(reserved->ring_full))
		count_drop(DROP_RING_FULL);
	if (!hide_from_compiler(reserved->is_reserved))
		return;
	if (happened)
		bpf_ringbuf_submit(reserved->event, BPF_RB_NO_WAKEUP);
	else
		bpf_ringbuf_discard(reserved->event, BPF_RB_NO_WAKEUP);
}

#endif
