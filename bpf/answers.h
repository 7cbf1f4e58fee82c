/* SPDX-License-Identifier: GPL-2.0-only */
/* What sockets store for their applications, if a profile asks for it and for MPTCP. */
#ifndef TOASCOPE_ANSWERS_H
#define TOASCOPE_ANSWERS_H

#include "core.h"
#include "records.h"

/*
 * What applications can ask for in addition to the client in the connection's entry. Exists only if
 * an active profile asks for it (settings.split_uses, settings.virtual_servers).
 */
struct socket_answers {
	struct toa_client client[ANSWERS]; /* by enum answer, with split_uses; family 0: none */
	struct toa_virtual virtual_server;
	__u8 by_use;        /* profiles differed in their uses at opening: `client` is valid */
	__u8 virtual_known; /* its sender is trusted; final once set, as readers take no lock */
	__u8 reserved[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_answers);
} answers __weak SEC(".maps");

/* What the socket of an MPTCP connection stores from its first subflow. */
struct mptcp_state {
	struct toa_client client;
	__u32 listener_service;
	__u16 listener;
	__u8 known; /* `client` is valid */
	__u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mptcp_state);
} mptcp_states __weak SEC(".maps");

#endif
