// SPDX-License-Identifier: GPL-2.0-only
/*
 * Removes a client from the table without losing a count. The daemon runs both programs with
 * BPF_PROG_TEST_RUN; the request is the packet. First it runs retire: from then on, programs count
 * elsewhere. It then waits for a grace period, after which no program holds the entry any more.
 * Last it runs fold, which reads, adds and deletes in one run, so that killing the daemon cannot
 * split the operation.
 */
#include "listener_slots.h"
#include "per_prefix.h"

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
		return RUN_MISSING;
	client = bpf_map_lookup_elem(&clients, &request.key);
	if (!client)
		return RUN_MISSING;
	if (client->traffic.opened != client->traffic.closed)
		return RUN_IN_USE;
	client->generation = 0;
	return RUN_OK;
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

SEC("tc")
int toascope_fold(struct __sk_buff *skb)
{
	struct fold_request request;
	struct listener_key key;
	struct listener *listener;
	__u32 folded = META_FOLDED;
	struct exported *series;
	struct client *client;
	struct prefix_counters prefix;
	struct traffic last;
	__u64 *count;
	__u32 *slot_index;

	if (!read_request(skb, &request))
		return RUN_MISSING;
	client = bpf_map_lookup_elem(&clients, &request.key);
	/*
	 * the daemon repeats a run that a signal interrupted, before 5.13 even a completed one: the
	 * client can already be folded
	 */
	if (!client)
		return RUN_OK;
	if (client->generation)
		return RUN_IN_USE;
	__builtin_memcpy(&key.local, &request.key.listener, sizeof(key.local));
	slot_index = bpf_map_lookup_elem(&listener_index, &key);
	listener = slot_index ? listener_row(*slot_index) : 0;
	if (!listener)
		return RUN_MISSING;
	/*
	 * a connection opened between the check and the mark in toascope_retire(): keep the client
	 */
	if (client->traffic.opened != client->traffic.closed) {
		client->generation = client_generation(&request.key);
		return RUN_IN_USE;
	}
	last = client->traffic;
	prefix.slot[0] = client->prefix_slot[0];
	prefix.slot[1] = client->prefix_slot[1];
	/* delete first: if the entry stayed, its counts would be added again */
	if (bpf_map_delete_elem(&clients, &request.key))
		return RUN_IN_USE;
	count_in_prefix(&prefix, -1);
	if (request.shown)
		subtract(&last, &request.base);
	bpf_spin_lock(&listener->lock);
	if (request.shown) {
		add_under_lock(&listener->folded, &last);
		add_under_lock(&listener->unexported, &request.base);
	} else {
		add_under_lock(&listener->unexported, &last);
	}
	bpf_spin_unlock(&listener->lock);
	count = bpf_map_lookup_elem(&meta, &folded);
	if (count)
		add(*count, 1);
	series = bpf_map_lookup_elem(&exported, &request.key);
	if (!series)
		return RUN_OK;
	/*
	 * mark first: if the deletion is refused (EBUSY), a returning client must not get this base
	 */
	series->since_ns = 0;
	return bpf_map_delete_elem(&exported, &request.key) ? RUN_ENDED : RUN_OK;
}
