// SPDX-License-Identifier: GPL-2.0-only
/* Frees the slot of a retired listener. */
#include "listener_slots.h"

/*
 * "other" already shows the listener's counts (listener_bases), and its clients have all left:
 * after retiring the listener, the daemon has waited for a grace period and then looked for
 * clients. It can be repeated: there is then nothing left to do, or the slot already has a new
 * listener.
 */
SEC("tc")
int toascope_free_listener(struct __sk_buff *skb)
{
	__u32 folded = META_LISTENERS_FOLDED, *slot_of;
	struct listener_request request;
	struct listener_slot *slot;
	__u64 *count;

	if (bpf_skb_load_bytes(skb, 0, &request, sizeof(request)))
		return RUN_MISSING;
	slot_of = bpf_map_lookup_elem(&listener_index, &request.key);
	if (!slot_of || *slot_of != request.slot)
		return RUN_OK;
	slot = bpf_map_lookup_elem(&listener_keys, &request.slot);
	if (!slot || !(slot->service & 1))
		return RUN_IN_USE;
	/*
	 * if refused, the next listener with this key shows this one's start; its counts are right
	 */
	bpf_map_delete_elem(&listener_since, &request.key);
	if (bpf_map_delete_elem(&listener_index, &request.key))
		return RUN_IN_USE;
	if (bpf_map_push_elem(&spare_listeners, &request.slot, BPF_ANY))
		count_drop(DROP_LISTENER_SLOT);
	count = bpf_map_lookup_elem(&meta, &folded);
	if (count)
		add(*count, 1);
	return RUN_OK;
}
