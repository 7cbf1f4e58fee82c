// SPDX-License-Identifier: GPL-2.0-only
/*
 * Takes a client out of the table without losing a count. Both are run by the daemon with
 * BPF_PROG_TEST_RUN; the request is the packet. First retire: from then on programs count
 * elsewhere. The daemon waits until all that were running by then are done, so that none holds the entry any more.
 * Then fold: read, add and delete in one run, so that a kill of the daemon cannot split it.
 */
#include "per_prefix.h"
#include "listener_slots.h"

#define OK 0
#define MISSING 1
#define IN_USE 2
#define ENDED 3 /* folded, and the entry of its series is still there, marked */

static __always_inline bool read_request(struct __sk_buff *skb, struct fold_request *request)
{
	return !bpf_skb_load_bytes(skb, 0, request, sizeof(*request));
}

SEC("tc")
int toascope_retire(struct __sk_buff *skb)
{
	struct fold_request request;
	struct client *client;

	if (!read_request(skb, &request))
		return MISSING;
	client = bpf_map_lookup_elem(&clients, &request.key);
	if (!client)
		return MISSING;
	if (client->traffic.opened != client->traffic.closed)
		return IN_USE;
	client->tag = 0;
	return OK;
}

static __always_inline void subtract(struct traffic *from, const struct traffic *base)
{
	from->opened -= base->opened;
	from->closed -= base->closed;
	from->received_bytes -= base->received_bytes;
	from->sent_bytes -= base->sent_bytes;
	from->retransmitted_segments -= base->retransmitted_segments;
	from->rtt_sum_ns -= base->rtt_sum_ns;
	from->rtt_count -= base->rtt_count;
	from->duration_sum_ns -= base->duration_sum_ns;
}

/*
 * Gives the slot of a listener back that was retired, whose counts "other" shows by now (listener_bases), and whose clients
 * have all left: the daemon has waited for all runs that had begun when it retired it, and then has looked for clients.
 * Again: there is nothing left to do, or the slot has a new listener already.
 */
SEC("tc")
int toascope_free_listener(struct __sk_buff *skb)
{
	__u32 folded = LEDGER_LISTENERS_FOLDED, *slot_of;
	struct listener_request request;
	struct listener_slot *slot;
	__u64 *count;

	if (bpf_skb_load_bytes(skb, 0, &request, sizeof(request)))
		return MISSING;
	slot_of = bpf_map_lookup_elem(&listener_places, &request.key);
	if (!slot_of || *slot_of != request.slot)
		return OK;
	slot = bpf_map_lookup_elem(&listener_keys, &request.slot);
	if (!slot || !(slot->service & 1))
		return IN_USE;
	/* refused, it says later that its next listener began when this one did: nothing is counted wrong */
	bpf_map_delete_elem(&listener_since, &request.key);
	if (bpf_map_delete_elem(&listener_places, &request.key))
		return IN_USE;
	if (bpf_map_push_elem(&spare_listeners, &request.slot, BPF_ANY))
		count_drop(DROP_LISTENER_SLOT);
	count = bpf_map_lookup_elem(&ledger, &folded);
	if (count)
		add(*count, 1);
	return OK;
}

SEC("tc")
int toascope_fold(struct __sk_buff *skb)
{
	struct fold_request request;
	struct listener_key key;
	struct listener *listener;
	__u32 folded = LEDGER_FOLDED;
	struct exported *series;
	struct client *client;
	struct prefix_counters prefix;
	struct traffic last;
	__u64 *count;
	__u32 *place;

	if (!read_request(skb, &request))
		return MISSING;
	client = bpf_map_lookup_elem(&clients, &request.key);
	/* a signal has the daemon run it again, before 5.13 also when the run was over: then it has folded */
	if (!client)
		return OK;
	if (client->tag)
		return IN_USE;
	__builtin_memcpy(&key.local, &request.key.listener, sizeof(key.local));
	place = bpf_map_lookup_elem(&listener_places, &key);
	listener = place ? listener_row(*place) : 0;
	if (!listener)
		return MISSING;
	/* it was taken hold of again between the look at it and the mark: let it live */
	if (client->traffic.opened != client->traffic.closed) {
		client->tag = client_tag(&request.key);
		return IN_USE;
	}
	last = client->traffic;
	prefix.slot[0] = client->prefix_slot[0];
	prefix.slot[1] = client->prefix_slot[1];
	/* first: what is added for an entry that stays would be added again */
	if (bpf_map_delete_elem(&clients, &request.key))
		return IN_USE;
	count_in_prefix(&prefix, -1);
	if (request.shown)
		subtract(&last, &request.base);
	bpf_spin_lock(&listener->lock);
	if (request.shown) {
		add_plainly(&listener->folded, &last);
		add_plainly(&listener->unshown, &request.base);
	} else {
		add_plainly(&listener->unshown, &last);
	}
	bpf_spin_unlock(&listener->lock);
	count = bpf_map_lookup_elem(&ledger, &folded);
	if (count)
		add(*count, 1);
	series = bpf_map_lookup_elem(&exported, &request.key);
	if (!series)
		return OK;
	/* first: the deletion may be refused (EBUSY), and nobody who returns is to get this base */
	series->since_ns = 0;
	return bpf_map_delete_elem(&exported, &request.key) ? ENDED : OK;
}
