/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Differences between kernels. Kbuild defines TOA_* by compiling the files in probes/, never by
 * version.
 */
#ifndef TOA_COMPAT_H
#define TOA_COMPAT_H

/* The segment as the tracepoint tcp_probe passes it. */
#ifdef TOA_TCP_PROBE_CONST
#define TOA_PROBED_SKB const struct sk_buff
#else
#define TOA_PROBED_SKB struct sk_buff
#endif

#endif
