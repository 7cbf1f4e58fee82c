// SPDX-License-Identifier: GPL-2.0-only
/*
 * Not loaded: its BTF describes every type that kernel and user space share, for
 * scripts/generate-layout.ts.
 */
#include "records.h"

struct everything {
	struct settings settings;
	struct port_bits port_bits;
	struct trust_key trust_key;
	struct listener_key listener_key;
	struct listener_slot listener_slot;
	struct listener_request listener_request;
	struct listener listener;
	struct client_key client_key;
	struct client client;
	struct exported exported;
	struct evicted evicted;
	struct fold_request fold_request;
	struct sweep_request sweep_request;
	struct recount_request recount_request;
	struct connection connection;
	struct event event;
	struct extra extra;
	struct owner owner;
	struct unknown_option unknown_option;
	enum constant constant;
	enum first_bound first_bound;
	enum family family;
	enum toa_verdict verdict;
	enum toa_segment segment;
	enum accept_kind accept_kind;
	enum slot_state slot_state;
	enum connection_flag connection_flag;
	enum without_option without_option;
	enum drop drop;
	enum counted_by counted_by;
	enum run_result run_result;
	enum event_type event_type;
	enum sampled_by sampled_by;
	enum sockopt_mode sockopt_mode;
	enum toa_use toa_use;
	enum toa_vni toa_vni;
	enum meta_entry meta_entry;
} everything;
