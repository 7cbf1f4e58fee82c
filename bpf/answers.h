/* SPDX-License-Identifier: GPL-2.0-only */
/* What sockets keep for their applications, where a profile asks for it or the connection is one of MPTCP. */
#ifndef TOASCOPE_ANSWERS_H
#define TOASCOPE_ANSWERS_H

#include "core.h"
#include "records.h"

/*
 * What applications are answered beside the state's client. There is one only where an active profile asks for it
 * (settings.split_uses and virtual_servers).
 */
struct socket_answers {
	struct toa_client client[ANSWERS]; /* by enum answer, with settings.split_uses; family 0: none */
	struct toa_virtual virtual_server;
	__u8 by_use;        /* the clients were looked for: profiles differed in their uses when it opened */
	__u8 virtual_known; /* its sender is trusted; it does not change any more, since who asks takes no lock */
	__u8 reserved[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct socket_answers);
} answers __weak SEC(".maps");

/* What the socket of an MPTCP connection knows from its first path. */
struct mptcp_state {
	struct toa_client client;
	__u32 listener_service;
	__u16 listener;
	__u8 known; /* there is a client */
	__u8 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct mptcp_state);
} mptcp_states __weak SEC(".maps");

#endif
