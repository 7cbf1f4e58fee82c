// SPDX-License-Identifier: GPL-2.0-only
/*
 * Recounts a client for its prefix, according to the settings in force. The daemon runs it for each
 * client in the table when it starts, and when a reload has changed `clients.per_prefix`: otherwise
 * existing clients would be missing from the counters of their new prefix.
 */
#include "per_prefix.h"

SEC("tc")
int toascope_recount(struct __sk_buff *skb)
{
	const struct settings *set = current_settings();
	struct prefix_counters had, wanted = {};
	struct recount_request request;
	struct client *client;
	__u32 family, words[4];

	if (!set || bpf_skb_load_bytes(skb, 0, &request, sizeof(request)))
		return RUN_MISSING;
	client = bpf_map_lookup_elem(&clients, &request.key);
	if (!client)
		return RUN_MISSING;
	had.slot[0] = client->prefix_slot[0];
	had.slot[1] = client->prefix_slot[1];
	family = family_index(request.key.family);
	if (set->per_prefix_max && set->per_prefix_length[family] < request.key.prefix_length) {
		__builtin_memcpy(words, request.key.address, sizeof(words));
		mask_address(words, set->per_prefix_length[family]);
		__builtin_memcpy(request.key.address, words, sizeof(words));
		request.key.prefix_length = set->per_prefix_length[family];
		clients_of_prefix(&request.key, &wanted);
	}
	if (had.slot[0] == wanted.slot[0] && had.slot[1] == wanted.slot[1])
		return RUN_OK;
	client->prefix_slot[0] = wanted.slot[0];
	client->prefix_slot[1] = wanted.slot[1];
	count_in_prefix(&had, -1);
	count_in_prefix(&wanted, 1);
	return RUN_OK;
}
