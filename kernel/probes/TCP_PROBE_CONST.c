// SPDX-License-Identifier: GPL-2.0-only
/* Compiles if the tracepoint tcp_probe passes the segment as const. */
#include <trace/events/tcp.h>

static void probe(void *data, struct sock *sk, const struct sk_buff *skb)
{
}

void toa_probe(void);
void toa_probe(void)
{
	check_trace_callback_type_tcp_probe(probe);
}
