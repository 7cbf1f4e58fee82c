// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hooks:
 * - kretprobes on tcp_v4_syn_recv_sock() and tcp_v6_syn_recv_sock(): the segment that makes a socket, and the socket.
 * - A kprobe on tcp_rcv_state_process(): SYNs, segments while a side closes, and once more the one that made the
 *   socket, which repairs what a kretprobe missed, or IPv6 that was loaded after this module.
 * - The tracepoint tcp_probe: every segment of an established connection, before the kernel looks at it.
 * - The tracepoints inet_sock_set_state and tcp_destroy_sock: the connection's end, and the socket's. The first also
 *   finds sockets that all probes missed: they do while they are disarmed, and on a CPU that another kprobe's handler
 *   was interrupted on.
 */
#define pr_fmt(fmt) "TOA: " fmt

#include <linux/if_ether.h>
#include <linux/kprobes.h>
#include <linux/seq_file.h>
#include <linux/skbuff.h>
#include <linux/tracepoint.h>
#include <net/tcp.h>
#include <trace/events/sock.h>
#include <trace/events/tcp.h>
#include "toa_compat.h"
#include "toa_hook.h"
#include "toa_segment.h"
#include "toa_stats.h"
#include "toa_syn.h"
#include "toa_verdict.h"

/*
 * Once data was received, the verdict falls at the next segment. So many segments of a connection are looked at, whatever they are; and
 * after them those with data or options, up to so many bytes: the kernel may have merged the first segments into two of 64 KiB (GRO).
 */
#define WATCHED_SEGMENTS 16
#define WATCHED_BYTES (128 * 1024)

/* All stand: what they do not see they missed. */
static bool probing;

struct making {
	const struct sk_buff *skb;
	const bool *own_req;
};

static int begin_making(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct making *making = (struct making *)instance->data;

	making->skb = (const struct sk_buff *)regs_get_kernel_argument(regs, 1);
	making->own_req = (const bool *)regs_get_kernel_argument(regs, 5);
	return 0;
}

/* For IPv4 it hands the work on to the other one. Nonzero: its return is of no interest. */
static int begin_making6(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	begin_making(instance, regs);
	return ((struct making *)instance->data)->skb->protocol == htons(ETH_P_IP);
}

static int made(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct making *making = (const struct making *)instance->data;
	struct sock *sk = (struct sock *)regs_return_value(regs);

	if (!sk)
		return 0;
	/* another CPU has made the same socket, and this one goes without a trace */
	if (!*making->own_req) {
		toa_count(TOA_COUNT_LOST_RACE);
		return 0;
	}
	toa_connection_opened(sk, making->skb);
	return 0;
}

static struct kretprobe make4 = {
	.kp.symbol_name = "tcp_v4_syn_recv_sock",
	.entry_handler = begin_making,
	.handler = made,
	.data_size = sizeof(struct making),
};

static struct kretprobe make6 = {
	.kp.symbol_name = "tcp_v6_syn_recv_sock",
	.entry_handler = begin_making6,
	.handler = made,
	.data_size = sizeof(struct making),
};

/* A socket that a listener made and nobody has accepted: one of connect() has a struct socket. */
static bool is_fresh_child(const struct sock *sk)
{
	return sk->sk_state == TCP_SYN_RECV && !sk->sk_socket &&
	       !rcu_access_pointer(tcp_sk(sk)->fastopen_rsk);
}

static int process_state(struct kprobe *probe, struct pt_regs *regs)
{
	struct sock *sk = (struct sock *)regs_get_kernel_argument(regs, 0);
	const struct sk_buff *skb = (const struct sk_buff *)regs_get_kernel_argument(regs, 1);

	if (sk->sk_state == TCP_LISTEN) {
		toa_syn_arrived(sk, skb);
	} else if (is_fresh_child(sk)) {
		if (!toa_connection_known(sk) && toa_connection_opened(sk, skb))
			toa_count(TOA_COUNT_REPAIRED);
	} else if (sk->sk_state != TCP_SYN_SENT) {
		toa_segment_arrived(sk, skb);
	}
	return 0;
}

static struct kprobe state = {
	.symbol_name = "tcp_rcv_state_process",
	.pre_handler = process_state,
};

static void on_segment(void *unused, struct sock *sk, TOA_PROBED_SKB *skb)
{
	const struct tcp_sock *tcp = tcp_sk(sk);

	if (tcp->segs_in < WATCHED_SEGMENTS ||
	    (tcp->bytes_received < WATCHED_BYTES && !toa_segment_is_bare(skb)))
		toa_segment_arrived(sk, skb);
}

static void on_state(void *unused, const struct sock *sk, const int before, const int after)
{
	if (sk->sk_protocol != IPPROTO_TCP)
		return;
	/* the state is still the one before */
	if (after == TCP_ESTABLISHED && is_fresh_child(sk)) {
		if (READ_ONCE(probing))
			toa_connection_established(sk);
	} else if (after == TCP_CLOSE) {
		toa_connection_closed(sk);
	} else if (before == TCP_CLOSE) {
		toa_connection_gone(sk);
	}
}

static void on_destroy(void *unused, struct sock *sk)
{
	toa_socket_gone(sk);
}

/* The kernel's tracepoints are not exported by name. */
static struct watch {
	const char *name;
	void *callback;
	struct tracepoint *tracepoint;
} watches[] = {
	{ "tcp_destroy_sock", on_destroy },
	{ "inet_sock_set_state", on_state },
	{ "tcp_probe", on_segment },
};

/* A callback of another type would be a wild call: the compiler compares them here. */
static void __maybe_unused check_types(void)
{
	check_trace_callback_type_tcp_destroy_sock(on_destroy);
	check_trace_callback_type_inet_sock_set_state(on_state);
	check_trace_callback_type_tcp_probe(on_segment);
}

static void find_tracepoint(struct tracepoint *tracepoint, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(watches); i++)
		if (!strcmp(watches[i].name, tracepoint->name))
			watches[i].tracepoint = tracepoint;
}

static void unwatch(int count)
{
	while (count--)
		tracepoint_probe_unregister(watches[count].tracepoint, watches[count].callback, NULL);
	tracepoint_synchronize_unregister();
}

static int watch(void)
{
	int i, failed;

	for_each_kernel_tracepoint(find_tracepoint, NULL);
	for (i = 0; i < ARRAY_SIZE(watches); i++) {
		failed = watches[i].tracepoint ?
				 tracepoint_probe_register(watches[i].tracepoint, watches[i].callback, NULL) :
				 -ENOENT;
		if (failed) {
			pr_err("no tracepoint %s: %d\n", watches[i].name, failed);
			unwatch(i);
			return failed;
		}
	}
	return 0;
}

static int hook_return(struct kretprobe *probe)
{
	/* a real-time kernel preempts the network's softirqs: more than one a CPU may be inside */
	probe->maxactive = max(64U, 8 * num_possible_cpus());
	return register_kretprobe(probe);
}

int toa_hook_setup(void)
{
	int failed;

	failed = watch();
	if (failed)
		return failed;
	failed = register_kprobe(&state);
	if (failed) {
		pr_err("no probe on %s: %d\n", state.symbol_name, failed);
		goto unwatch;
	}
	failed = hook_return(&make4);
	if (failed) {
		pr_err("no probe on %s: %d\n", make4.kp.symbol_name, failed);
		goto unhook_state;
	}
	failed = hook_return(&make6);
	/* IPv6 may be missing, or a module that comes later: then its sockets are found one step later */
	if (failed && failed != -ENOENT) {
		pr_err("no probe on %s: %d\n", make6.kp.symbol_name, failed);
		goto unhook_make4;
	}
	WRITE_ONCE(probing, true);
	return 0;

unhook_make4:
	unregister_kretprobe(&make4);
unhook_state:
	unregister_kprobe(&state);
unwatch:
	unwatch(ARRAY_SIZE(watches));
	return failed;
}

void toa_hook_teardown(void)
{
	WRITE_ONCE(probing, false);
	if (make6.kp.addr)
		unregister_kretprobe(&make6);
	unregister_kretprobe(&make4);
	unregister_kprobe(&state);
	unwatch(ARRAY_SIZE(watches));
}

void toa_hook_show_missed(struct seq_file *seq)
{
	seq_printf(seq, "missed_%s %lu\n", make4.kp.symbol_name, make4.nmissed + make4.kp.nmissed);
	seq_printf(seq, "missed_%s %lu\n", make6.kp.symbol_name, make6.nmissed + make6.kp.nmissed);
	seq_printf(seq, "missed_%s %lu\n", state.symbol_name, state.nmissed);
}
