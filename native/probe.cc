// SPDX-License-Identifier: Apache-2.0
// What this kernel can do, found by trying: versions say nothing, distributions backport.
#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <vector>

#include "errors.h"
#include "handles.h"

namespace toascope
{
namespace
{

constexpr bpf_insn set(uint8_t to, int32_t value)
{
	return { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = to, .src_reg = 0, .off = 0, .imm = value };
}

constexpr bpf_insn copy(uint8_t to, uint8_t from)
{
	return { .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = to, .src_reg = from, .off = 0, .imm = 0 };
}

constexpr bpf_insn add(uint8_t to, int32_t value)
{
	return { .code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = to, .src_reg = 0, .off = 0, .imm = value };
}

constexpr bpf_insn call(bpf_func_id helper)
{
	return { .code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = helper };
}

constexpr bpf_insn load_word(uint8_t to, uint8_t from, int16_t offset)
{
	return {
		.code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = to, .src_reg = from, .off = offset, .imm = 0
	};
}

constexpr bpf_insn jump_unless_zero(uint8_t value, int16_t over)
{
	return { .code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = value, .src_reg = 0, .off = over, .imm = 0 };
}

constexpr bpf_insn leave = { .code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0 };

const bpf_insn return_zero[] = { set(BPF_REG_0, 0), leave };

// Does it load? libbpf_probe_bpf_helper() calls helpers with wrong arguments, and goes by what the verifier says of
// that: kernels since 6.10 say it otherwise. Returns 0, or the errno that refused it.
int probe_calls(bpf_prog_type type, bpf_attach_type attach, std::vector<bpf_insn> instructions)
{
	LogCapture quiet;
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach);
	// the one result that all types take
	instructions.insert(instructions.end(), { set(BPF_REG_0, 1), leave });
	Fd program(bpf_prog_load(type, "toascope_probe", "GPL", instructions.data(), instructions.size(),
				 &options));
	return program ? 0 : errno;
}

// Others may have switched off the tracing of functions: some kernels attach programs all the same, and do not run them.
bool functions_switched_off()
{
	std::ifstream file("/proc/sys/kernel/ftrace_enabled");
	int enabled = 1;

	return file >> enabled && !enabled;
}

// 0, or the errno that refused it
int probe_fexit()
{
	LogCapture quiet;
	if (functions_switched_off())
		return EBUSY;
	int btf_id = libbpf_find_vmlinux_btf_id("inet_accept", BPF_TRACE_FEXIT);
	if (btf_id < 0)
		return -btf_id;
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_FEXIT,
		    .attach_btf_id = static_cast<__u32>(btf_id));
	Fd program(bpf_prog_load(BPF_PROG_TYPE_TRACING, "toascope_probe", "GPL", return_zero, 2, &options));
	if (!program)
		return errno;
	Fd link(bpf_raw_tracepoint_open(nullptr, program.get()));
	return link ? 0 : errno;
}

// May programs of type tracing call it?
int probe_tracing_helper(bpf_func_id helper)
{
	LogCapture quiet;
	int btf_id = libbpf_find_vmlinux_btf_id("task_file", BPF_TRACE_ITER);
	if (btf_id < 0)
		return -btf_id;
	const bpf_insn instructions[] = { call(helper), leave };
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_ITER,
		    .attach_btf_id = static_cast<__u32>(btf_id), .log_level = 1, .log_size = sizeof(log),
		    .log_buf = log);
	Fd program(bpf_prog_load(BPF_PROG_TYPE_TRACING, "toascope_probe", "GPL", instructions, 2, &options));
	if (program)
		return 0;
	int error = errno;
	// where it may, the verifier finds fault with the arguments instead
	for (const char *unknown :
	     { "unknown func ", "invalid func ", "cannot use helper ", "policy check failed for helper " })
		if (strstr(log, unknown))
			return error;
	return *log ? 0 : error;
}

// Locks, and the way to what they protect: a socket's storage, a file's socket. They came together.
int probe_tracing_locks()
{
	for (bpf_func_id helper : { BPF_FUNC_spin_lock, BPF_FUNC_sk_storage_get, BPF_FUNC_sock_from_file }) {
		int error = probe_tracing_helper(helper);
		if (error)
			return error;
	}
	return 0;
}

// Has this kernel __inet_accept()? Older ones do all of it in inet_accept().
bool has_inner_accept()
{
	LogCapture quiet;
	return libbpf_find_vmlinux_btf_id("__inet_accept", BPF_TRACE_FEXIT) > 0;
}

// The value of an enumerator, or `otherwise` where the kernel has none of that name. CO-RE finds no anonymous enums.
uint32_t enumerator(const char *name, uint32_t otherwise)
{
	LogCapture quiet;
	btf *types = btf__load_vmlinux_btf();
	for (__u32 id = 1; types && id < btf__type_cnt(types); id++) {
		const btf_type *type = btf__type_by_id(types, id);
		if (!btf_is_enum(type))
			continue;
		const struct btf_enum *each = btf_enum(type);
		for (int i = 0; i < btf_vlen(type); i++)
			if (!strcmp(btf__name_by_offset(types, each[i].name_off), name))
				otherwise = each[i].val;
	}
	btf__free(types);
	return otherwise;
}

int probe_program(bpf_prog_type type)
{
	LogCapture quiet;
	int result = libbpf_probe_bpf_prog_type(type, nullptr);
	return result == 1 ? 0 : result == 0 ? EOPNOTSUPP : -result;
}

int probe_map(bpf_map_type type)
{
	LogCapture quiet;
	int result = libbpf_probe_bpf_map_type(type, nullptr);
	return result == 1 ? 0 : result == 0 ? EOPNOTSUPP : -result;
}

} // namespace

// probe() -> {features: {name: "" | errno's name}, taskHelpers, mptcpHelpers, transparentBit, innerAccept}
Napi::Value probe(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Object result = Napi::Object::New(env), features = Napi::Object::New(env);
	auto tell = [&](const char *feature, int error) {
		features.Set(feature, Napi::String::New(env, errno_name(error)));
	};
	tell("sockops", probe_program(BPF_PROG_TYPE_SOCK_OPS));
	tell("getsockopt", probe_program(BPF_PROG_TYPE_CGROUP_SOCKOPT));
	tell("getpeername", probe_program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR));
	tell("ringbuf", probe_map(BPF_MAP_TYPE_RINGBUF));
	tell("socketStorage", probe_map(BPF_MAP_TYPE_SK_STORAGE));
	tell("setError", probe_calls(BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT,
				     { set(BPF_REG_1, 0), call(BPF_FUNC_set_retval) }));
	const int no_task_helpers = probe_calls(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME,
						{ call(BPF_FUNC_get_current_task_btf),
						  copy(BPF_REG_1, BPF_REG_0), call(BPF_FUNC_task_pt_regs) });
	const int no_reads = probe_calls(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME,
					 { copy(BPF_REG_1, BPF_REG_10), add(BPF_REG_1, -8), set(BPF_REG_2, 8),
					   set(BPF_REG_3, 0), call(BPF_FUNC_probe_read_kernel) });
	const int no_locks = probe_tracing_locks();
	tell("kernelReads", no_reads);
	// what has no type there is read by its address
	tell("taskRegisters", no_task_helpers ? no_reads : 0);
	tell("tracingLocks", no_locks);
	tell("listeningSockets", no_locks ? no_reads : 0);
	// what the accept writes is written under a lock
	tell("fexit", no_locks ? no_locks : probe_fexit());
	// came with the accounting of maps to memory cgroups; before, they count as locked memory
	tell("memoryAccounting", probe_calls(BPF_PROG_TYPE_SOCKET_FILTER, BPF_CGROUP_INET_INGRESS,
					     { call(BPF_FUNC_ktime_get_coarse_ns) }));
	result.Set("features", features);
	const int no_mptcp = probe_calls(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS,
					 { load_word(BPF_REG_1, BPF_REG_1, offsetof(bpf_sock_ops, sk)),
					   jump_unless_zero(BPF_REG_1, 2), set(BPF_REG_0, 1), leave,
					   call(BPF_FUNC_skc_to_mptcp_sock) });
	result.Set("mptcpHelpers", Napi::Boolean::New(env, !no_mptcp));
	result.Set("taskHelpers", Napi::Boolean::New(env, !no_task_helpers));
	result.Set("transparentBit", Napi::Number::New(env, enumerator("INET_FLAGS_TRANSPARENT", 0)));
	result.Set("innerAccept", Napi::Boolean::New(env, has_inner_accept()));
	return result;
}

} // namespace toascope
