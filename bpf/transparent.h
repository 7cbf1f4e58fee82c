/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sockets with IP_TRANSPARENT. TPROXY gives such a listener connections of any local port, so
 * the listener's own port does not say whether a port that is watched comes to it.
 */
#ifndef TOASCOPE_TRANSPARENT_H
#define TOASCOPE_TRANSPARENT_H

#include "core.h"

/* Number of the bit in inet_flags (INET_FLAGS_TRANSPARENT). Set before loading, from the kernel's BTF. */
extern const volatile __u32 transparent_bit;

/* For a pointer whose type the verifier knows. */
static __always_inline bool is_transparent(const struct tcp_sock *tcp)
{
	const struct inet_sock___flags *flags = (const void *)tcp;
	const struct inet_sock___bits *bits = (const void *)tcp;

	if (bpf_core_field_exists(flags->inet_flags))
		return flags->inet_flags >> (transparent_bit & 63) & 1;
	return BPF_CORE_READ_BITFIELD(bits, transparent);
}

/* For one that is a mere address. */
static __always_inline bool is_transparent_at(struct sock *sk)
{
	struct inet_sock___flags *flags = (void *)sk;
	const struct inet_sock___bits *bits = (const void *)sk;

	if (bpf_core_field_exists(flags->inet_flags))
		return BPF_CORE_READ(flags, inet_flags) >> (transparent_bit & 63) & 1;
	return BPF_CORE_READ_BITFIELD_PROBED(bits, transparent);
}

#endif
