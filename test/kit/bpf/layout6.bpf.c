// SPDX-License-Identifier: Apache-2.0
/*
 * The maps of layout 6 of the records, whose counters migrate to later layouts, with their types.
 * The program fills the maps as a daemon of that layout would have left them. Its packet begins
 * with the scope of the counters.
 */
#include <linux/bpf.h>
#include <linux/types.h>
#include <bpf/bpf_helpers.h>

struct endpoint {
	__u8 address[16];
	__u16 port;
	__u8 family;
	__u8 reserved;
};

struct listener_key {
	struct endpoint local;
};

struct listener_slot {
	struct listener_key key;
	__u32 service;
	__u64 active_ns;
};

struct client_key {
	__u8 address[16];
	__u8 family;
	__u8 prefix_length;
	__u16 reserved;
	struct endpoint listener;
};

struct traffic {
	__u64 opened;
	__u64 closed;
	__u64 received_bytes;
	__u64 sent_bytes;
	__u64 retransmitted_segments;
	__u64 rtt_sum_ns;
	__u64 rtt_count;
	__u64 duration_sum_ns;
};

struct client {
	struct traffic traffic;
	__u64 created_ns;
	__u64 active_ns;
	__u64 tag;
};

struct histogram {
	__u64 sum_ns;
	__u64 buckets[24];
};

struct listener {
	struct traffic total;
	struct traffic direct;
	struct traffic overflow;
	struct traffic folded;
	struct traffic unshown;
	__u64 handshakes[6];
	__u64 options[32][3];
	__u64 accepts[4];
	__u64 without_option[4];
	__u64 hidden_by_family;
	struct histogram rtt;
	struct histogram duration;
	struct histogram accept_wait;
};

struct exported {
	struct traffic base;
	__u64 since_ns;
};

struct unknown_option {
	__u8 kind;
	__u8 length;
};

#define MAP(name, kind, entries, key_type, value_type) \
	struct {                                       \
		__uint(type, kind);                    \
		__uint(max_entries, entries);          \
		__type(key, key_type);                 \
		__type(value, value_type);             \
	} name SEC(".maps")

MAP(listeners, BPF_MAP_TYPE_PERCPU_ARRAY, 257, __u32, struct listener);
MAP(listener_keys, BPF_MAP_TYPE_ARRAY, 257, __u32, struct listener_slot);
MAP(listener_bases, BPF_MAP_TYPE_ARRAY, 257, __u32, struct listener);
MAP(listener_places, BPF_MAP_TYPE_HASH, 257, struct listener_key, __u32);
MAP(listener_since, BPF_MAP_TYPE_HASH, 257, struct listener_key, __u64);
MAP(clients, BPF_MAP_TYPE_HASH, 65536, struct client_key, struct client);
MAP(exported, BPF_MAP_TYPE_HASH, 65536, struct client_key, struct exported);
MAP(ledger, BPF_MAP_TYPE_ARRAY, 5, __u32, __u64);
MAP(drops, BPF_MAP_TYPE_PERCPU_ARRAY, 18, __u32, __u64);
MAP(unknown_options, BPF_MAP_TYPE_HASH, 64, struct unknown_option, __u64);

/* Two of ten connections with TOA are open; one more connection has no TOA. */
static const struct traffic of_client = { 10, 8, 1000, 30000, 3, 5000000, 8, 70000000 };
static const struct listener of_listener = {
	.total = { 11, 9, 1010, 30300, 3, 5000000, 8, 71000000 },
	.direct = { 1, 1, 10, 300, 0, 0, 0, 1000000 },
	.handshakes = { 0, 10, 1 },
	.options = { [1] = { 0, 10, 0 } },
	.accepts = { 0, 0, 11, 0 },
	.without_option = { 0, 1, 0, 0 },
	.duration = { 71000000, { [3] = 9 } },
};
static const struct listener_key other = {};
static const struct listener_key listener = { { { 192, 0, 2, 2 }, 8080, 4, 0 } };
static const struct client_key client = {
	{ 0x20, 0x01, 0x0d, 0xb8, 0, 0x0c, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1 },
	6,
	128,
	0,
	{ { 192, 0, 2, 2 }, 8080, 4, 0 },
};

SEC("tc")
int fill(struct __sk_buff *skb)
{
	struct exported series = { .since_ns = 1700000000000000000ULL };
	struct client counted = { .traffic = of_client, .created_ns = 1, .active_ns = 2, .tag = 1 };
	__u32 zero = 0, one = 1, scope_entry = 2, close_unheard = 11;
	__u64 scope = 0, since = 1600000000000000000ULL, *number, folded = 3;
	struct listener_slot *slot = bpf_map_lookup_elem(&listener_keys, &one);
	struct unknown_option option = { 253, 6 };

	if (!slot || bpf_skb_load_bytes(skb, 0, &scope, sizeof(scope)))
		return 1;
	slot->key = listener;
	slot->service = 2;
	slot->active_ns = 1;
	bpf_map_update_elem(&listeners, &one, &of_listener, BPF_ANY);
	bpf_map_update_elem(&listener_places, &other, &zero, BPF_ANY);
	bpf_map_update_elem(&listener_places, &listener, &one, BPF_ANY);
	bpf_map_update_elem(&listener_since, &listener, &since, BPF_ANY);
	bpf_map_update_elem(&clients, &client, &counted, BPF_ANY);
	bpf_map_update_elem(&exported, &client, &series, BPF_ANY);
	bpf_map_update_elem(&unknown_options, &option, &folded, BPF_ANY);
	bpf_map_update_elem(&ledger, &scope_entry, &scope, BPF_ANY);
	bpf_map_update_elem(&ledger, &one, &folded, BPF_ANY);
	bpf_map_update_elem(&ledger, &zero, &folded, BPF_ANY);
	number = bpf_map_lookup_elem(&drops, &close_unheard);
	if (number)
		*number = 5;
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
