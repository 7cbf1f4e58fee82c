// SPDX-License-Identifier: GPL-2.0-only
/*
 * The hooks:
 * - kretprobes on tcp_v4_syn_recv_sock() and tcp_v6_syn_recv_sock(): the segment that creates a
 *   socket, and the socket.
 * - A kprobe on tcp_rcv_state_process(): SYNs, segments while a side closes, and once more the
 *   segment that created the socket. That repairs what a kretprobe missed, and covers IPv6 that was
 *   loaded after this module.
 * - The tracepoint tcp_probe: every segment of an established connection, before the kernel
 *   processes it.
 * - The tracepoints inet_sock_set_state and tcp_destroy_sock: the end of the connection, and that
 *   of the socket. The first also finds sockets that all probes missed: they miss some while they
 *   are disarmed, and on a CPU on which the handler of another kprobe was interrupted.
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
#include "toa_count.h"
#include "toa_hook.h"
#include "toa_segment.h"
#include "toa_syn.h"
#include "toa_verdict.h"

/*
 * Once data has been received, the next segment decides the verdict. The first WATCHED_SEGMENTS
 * segments of a connection are read, whatever they are, and after them those with data or options,
 * up to WATCHED_BYTES: the kernel can have merged the first segments into two of 64 KiB (GRO).
 */
#define WATCHED_SEGMENTS 16
#define WATCHED_BYTES (128 * 1024)

/* All probes are attached, so a socket without an object was missed by them. */
static bool all_probes_attached;

struct syn_recv {
	const struct sk_buff *skb;
	const bool *own_req;
};

static int syn_recv_entry(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	struct syn_recv *syn_recv = (struct syn_recv *)instance->data;

	syn_recv->skb = (const struct sk_buff *)regs_get_kernel_argument(regs, 1);
	syn_recv->own_req = (const bool *)regs_get_kernel_argument(regs, 5);
	return 0;
}

/* tcp_v6_syn_recv_sock() passes IPv4 on to the other function. Nonzero skips the return handler. */
static int syn_recv_entry6(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	syn_recv_entry(instance, regs);
	return ((struct syn_recv *)instance->data)->skb->protocol == htons(ETH_P_IP);
}

static int syn_recv_return(struct kretprobe_instance *instance, struct pt_regs *regs)
{
	const struct syn_recv *syn_recv = (const struct syn_recv *)instance->data;
	struct sock *sk = (struct sock *)regs_return_value(regs);

	if (!sk)
		return 0;
	/* another CPU created the socket first, and this one goes away without another event */
	if (!*syn_recv->own_req) {
		toa_count(TOA_COUNT_LOST_RACE);
		return 0;
	}
	toa_connection_opened(sk, syn_recv->skb);
	return 0;
}

static struct kretprobe syn_recv4 = {
	.kp.symbol_name = "tcp_v4_syn_recv_sock",
	.entry_handler = syn_recv_entry,
	.handler = syn_recv_return,
	.data_size = sizeof(struct syn_recv),
};

static struct kretprobe syn_recv6 = {
	.kp.symbol_name = "tcp_v6_syn_recv_sock",
	.entry_handler = syn_recv_entry6,
	.handler = syn_recv_return,
	.data_size = sizeof(struct syn_recv),
};

/*
 * Returns whether it is a socket that a listener created and no process has accepted. One from
 * connect() has a struct socket.
 */
static bool is_fresh_child(const struct sock *sk)
{
	return sk->sk_state == TCP_SYN_RECV && !sk->sk_socket &&
	       !rcu_access_pointer(tcp_sk(sk)->fastopen_rsk);
}

static int on_rcv_state_process(struct kprobe *probe, struct pt_regs *regs)
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

static struct kprobe rcv_state_process = {
	.symbol_name = "tcp_rcv_state_process",
	.pre_handler = on_rcv_state_process,
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
	/* the tracepoint runs before sk_state changes */
	if (after == TCP_ESTABLISHED && is_fresh_child(sk)) {
		if (READ_ONCE(all_probes_attached))
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

/* The kernel does not export its tracepoints by name, so they are searched for. */
static struct hooked_tracepoint {
	const char *name;
	void *callback;
	struct tracepoint *tracepoint;
} tracepoints[] = {
	{ "tcp_destroy_sock", on_destroy },
	{ "inet_sock_set_state", on_state },
	{ "tcp_probe", on_segment },
};

/* The kernel calls the callbacks without a check, so the compiler compares their types here. */
static void __maybe_unused check_callback_types(void)
{
	check_trace_callback_type_tcp_destroy_sock(on_destroy);
	check_trace_callback_type_inet_sock_set_state(on_state);
	check_trace_callback_type_tcp_probe(on_segment);
}

static void find_tracepoint(struct tracepoint *tracepoint, void *unused)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(tracepoints); i++)
		if (!strcmp(tracepoints[i].name, tracepoint->name))
			tracepoints[i].tracepoint = tracepoint;
}

static void unregister_tracepoints(int count)
{
	while (count--)
		tracepoint_probe_unregister(tracepoints[count].tracepoint, tracepoints[count].callback, NULL);
	tracepoint_synchronize_unregister();
}

static int register_tracepoints(void)
{
	int i, err;

	for_each_kernel_tracepoint(find_tracepoint, NULL);
	for (i = 0; i < ARRAY_SIZE(tracepoints); i++) {
		err = tracepoints[i].tracepoint ? tracepoint_probe_register(tracepoints[i].tracepoint,
									    tracepoints[i].callback, NULL) :
						  -ENOENT;
		if (err) {
			pr_err("cannot attach to tracepoint %s: %d\n", tracepoints[i].name, err);
			unregister_tracepoints(i);
			return err;
		}
	}
	return 0;
}

static int register_return_probe(struct kretprobe *probe)
{
	/* a real-time kernel preempts the network's softirqs: one CPU can be in several calls */
	probe->maxactive = max(64U, 8 * num_possible_cpus());
	return register_kretprobe(probe);
}

int toa_hook_setup(void)
{
	int err;

	err = register_tracepoints();
	if (err)
		return err;
	err = register_kprobe(&rcv_state_process);
	if (err) {
		pr_err("cannot probe %s: %d\n", rcv_state_process.symbol_name, err);
		goto unregister_tracepoints;
	}
	err = register_return_probe(&syn_recv4);
	if (err) {
		pr_err("cannot probe %s: %d\n", syn_recv4.kp.symbol_name, err);
		goto unregister_rcv_state_process;
	}
	err = register_return_probe(&syn_recv6);
	/*
	 * IPv6 can be missing, or be loaded later: the probe on tcp_rcv_state_process() then finds
	 * its sockets
	 */
	if (err && err != -ENOENT) {
		pr_err("cannot probe %s: %d\n", syn_recv6.kp.symbol_name, err);
		goto unregister_syn_recv4;
	}
	WRITE_ONCE(all_probes_attached, true);
	return 0;

unregister_syn_recv4:
	unregister_kretprobe(&syn_recv4);
unregister_rcv_state_process:
	unregister_kprobe(&rcv_state_process);
unregister_tracepoints:
	unregister_tracepoints(ARRAY_SIZE(tracepoints));
	return err;
}

void toa_hook_teardown(void)
{
	WRITE_ONCE(all_probes_attached, false);
	if (syn_recv6.kp.addr)
		unregister_kretprobe(&syn_recv6);
	unregister_kretprobe(&syn_recv4);
	unregister_kprobe(&rcv_state_process);
	unregister_tracepoints(ARRAY_SIZE(tracepoints));
}

void toa_hook_show_missed(struct seq_file *seq)
{
	seq_printf(seq, "missed_%s %lu\n", syn_recv4.kp.symbol_name,
		   syn_recv4.nmissed + syn_recv4.kp.nmissed);
	seq_printf(seq, "missed_%s %lu\n", syn_recv6.kp.symbol_name,
		   syn_recv6.nmissed + syn_recv6.kp.nmissed);
	seq_printf(seq, "missed_%s %lu\n", rcv_state_process.symbol_name, rcv_state_process.nmissed);
}
