/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Recognizes sockets with IP_TRANSPARENT. TPROXY passes connections to any local port to such a
 * listener, so the listener's own port does not say whether it gets those to a watched port.
 */
#ifndef TOASCOPE_TRANSPARENT_H
#define TOASCOPE_TRANSPARENT_H

#include "core.h"

/* For a pointer whose type the verifier knows. */
static __always_inline bool is_transparent(const struct tcp_sock *tcp)
{
	const struct inet_sock___flags *flags = (const void *)tcp;
	const struct inet_sock___bits *bits = (const void *)tcp;

	if (bpf_core_field_exists(flags->inet_flags))
		return flags->inet_flags >> (cfg.transparent_bit & 63) & 1;
	return BPF_CORE_READ_BITFIELD(bits, transparent);
}

/* For a plain address. */
static __always_inline bool is_transparent_at(struct sock *sk)
{
	struct inet_sock___flags *flags = (void *)sk;
	const struct inet_sock___bits *bits = (const void *)sk;

	if (bpf_core_field_exists(flags->inet_flags))
		return BPF_CORE_READ(flags, inet_flags) >> (cfg.transparent_bit & 63) & 1;
	return BPF_CORE_READ_BITFIELD_PROBED(bits, transparent);
}

#endif
