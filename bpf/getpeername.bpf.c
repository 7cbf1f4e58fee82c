// SPDX-License-Identifier: GPL-2.0-only
/*
 * The getpeername hooks, which run for getpeername() and for the address that accept() returns.
 * They show the client instead of the peer on transparent ports, and record accepts on kernels that
 * refuse fexit.
 */
#include "accept.h"
#include "mptcp.h"

/* THREAD_SIZE of x86_64, and of arm64 with 4 KiB pages; with KASAN it is larger. */
#define STACK_SIZE 16384

/* Returns the task's registers at its entry into the kernel. */
static __always_inline void *task_registers(void)
{
	struct pt_regs___x86 *size_of_registers = 0;
	struct task_struct *task;

	if (cfg.task_helpers)
		return (void *)bpf_task_pt_regs((void *)bpf_get_current_task_btf());
	/*
	 * they are at the end of its stack, according to task_pt_regs() of these two architectures
	 */
	task = (void *)bpf_get_current_task();
	return BPF_CORE_READ(task, stack) + STACK_SIZE - bpf_core_type_size(*size_of_registers);
}

/* Registers that a helper found have a type; others are a plain address. */
#define read_register(registers, name) (cfg.task_helpers ? (registers)->name : BPF_CORE_READ(registers, name))

/* include/uapi/asm-generic/unistd.h and arch/x86/entry/syscalls */
enum syscall_number {
	NR_X86_ACCEPT = 43,
	NR_X86_ACCEPT4 = 288,
	NR_I386_ACCEPT4 = 364,
	NR_ARM64_ACCEPT = 202,
	NR_ARM64_ACCEPT4 = 242,
	NR_IO_URING_SETUP = 425, /* on all architectures */
	NR_IO_URING_ENTER = 426, /* on all architectures */
};

/*
 * Returns whether this is a call of io_uring. Its threads keep the number of the call that created
 * them: the polling one has io_uring_setup().
 */
static __always_inline bool is_io_uring_call(long number)
{
	return number == NR_IO_URING_SETUP || number == NR_IO_URING_ENTER;
}

/*
 * __USER_CS and __USER32_CS. A stack of another size has something else there, and it is better to
 * miss an accept than to record a wrong one.
 */
static __always_inline bool from_user_space(struct pt_regs___x86 *registers)
{
	unsigned long selector = BPF_CORE_READ(registers, cs);

	return selector == 0x33 || selector == 0x23;
}

/*
 * Returns whether the task is in accept(). Outside accept(), a getpeername() call does not identify
 * the accepting process: another process can make it.
 */
static __always_inline bool in_accept(void)
{
	struct pt_regs___x86 *x86 = 0;
	struct pt_regs___arm64 *arm64 = 0;
	void *registers;
	long number;

	if (!cfg.task_helpers && !cfg.kernel_reads)
		return false;
	registers = task_registers();
	if (bpf_core_field_exists(x86->orig_ax)) {
		x86 = registers;
		if (!cfg.task_helpers && !from_user_space(x86))
			return false;
		number = read_register(x86, orig_ax) & ~0x40000000L /* x32 */;
		return number == NR_X86_ACCEPT || number == NR_X86_ACCEPT4 || number == NR_I386_ACCEPT4 ||
		       is_io_uring_call(number);
	}
	if (bpf_core_field_exists(arm64->syscallno)) {
		arm64 = registers;
		number = read_register(arm64, syscallno);
		return number == NR_ARM64_ACCEPT || number == NR_ARM64_ACCEPT4 || is_io_uring_call(number);
	}
	return false;
}

static __always_inline struct connection *find_and_record_accept(struct bpf_sock *sk, __u64 cookie)
{
	struct connection *connection = find_connection(sk, cookie);

	if (connection && !connection->accept_kind && in_accept())
		record_accept(connection, cookie, ACCEPT_GETPEERNAME);
	return connection;
}

/*
 * Copies the client that is to be shown as the peer. Servers in the kernel use the address for
 * access control (NFS exports), so they never get one from an option.
 */
static __always_inline bool shown_client(struct bpf_sock_addr *ctx, struct toa_client *to)
{
	const struct settings *set = current_settings();
	struct connection *connection;
	struct bpf_sock *sk = ctx->sk;
	__u64 cookie;

	/* only a listener's socket gets a cookie: any other would leave a hole in the table */
	if (!set || !sk || !port_watched(set, sk->src_port))
		return false;
	cookie = bpf_get_socket_cookie(ctx);
	connection = set->no_accepts ? find_connection(sk, cookie) : find_and_record_accept(sk, cookie);
	if (!set->transparent || !port_transparent(set, sk->src_port) || in_kernel_thread())
		return false;
	return copy_client_for(set, sk, connection, cookie, ANSWER_PEERNAME, to);
}

/*
 * An IPv6 client cannot be shown, because the family of an answer cannot change. If the option
 * carries no port, the peer's stays, because applications use address and port to identify a
 * connection.
 */
SEC("cgroup/getpeername4")
int toascope_getpeername4(struct bpf_sock_addr *ctx)
{
	struct toa_client client;
	__u32 address;

	if (!shown_client(ctx, &client) || client.family != FAMILY_IPV4)
		return 1;
	__builtin_memcpy(&address, client.address, sizeof(address));
	ctx->user_ip4 = address;
	if (client.port)
		ctx->user_port = bpf_htons(client.port);
	return 1;
}

SEC("cgroup/getpeername6")
int toascope_getpeername6(struct bpf_sock_addr *ctx)
{
	struct toa_client client;
	__u32 words[4];

	if (!shown_client(ctx, &client))
		return 1;
	__builtin_memcpy(words, client.address, sizeof(words));
	if (client.family == FAMILY_IPV4) {
		words[3] = words[0];
		words[2] = bpf_htonl(0xffff);
		words[1] = 0;
		words[0] = 0;
	}
	ctx->user_ip6[0] = words[0];
	ctx->user_ip6[1] = words[1];
	ctx->user_ip6[2] = words[2];
	ctx->user_ip6[3] = words[3];
	if (client.port)
		ctx->user_port = bpf_htons(client.port);
	return 1;
}
