// SPDX-License-Identifier: Apache-2.0
// Determines what this kernel supports by trying: its version is not reliable, because
// distributions backport features.
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

constexpr bpf_insn exit_program = {
	.code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0
};

const bpf_insn return_zero[] = { set(BPF_REG_0, 0), exit_program };

// Loads a program with these instructions. libbpf_probe_bpf_helper() is not used: it calls helpers
// with wrong arguments and interprets the message of the verifier, which kernels since 6.10 word
// differently. Returns 0, or the errno that refused the program.
int probe_calls(bpf_prog_type type, bpf_attach_type attach, std::vector<bpf_insn> instructions)
{
	LogCapture quiet;
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = attach);
	// 1 is the only result that all program types allow
	instructions.insert(instructions.end(), { set(BPF_REG_0, 1), exit_program });
	Fd program(bpf_prog_load(type, "toascope_probe", "GPL", instructions.data(), instructions.size(),
				 &options));
	return program ? 0 : errno;
}

// Another process can have switched off function tracing: some kernels still attach programs then,
// but do not run them.
bool functions_switched_off()
{
	std::ifstream file("/proc/sys/kernel/ftrace_enabled");
	int enabled = 1;

	return file >> enabled && !enabled;
}

// Returns 0, or the errno that refused fexit.
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

// Checks whether programs of type tracing can call a helper. Returns 0, or the errno that refused
// it.
int probe_tracing_helper(bpf_func_id helper)
{
	LogCapture quiet;
	int btf_id = libbpf_find_vmlinux_btf_id("task_file", BPF_TRACE_ITER);
	if (btf_id < 0)
		return -btf_id;
	const bpf_insn instructions[] = { call(helper), exit_program };
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_ITER,
		    .attach_btf_id = static_cast<__u32>(btf_id), .log_level = 1, .log_size = sizeof(log),
		    .log_buf = log);
	Fd program(bpf_prog_load(BPF_PROG_TYPE_TRACING, "toascope_probe", "GPL", instructions, 2, &options));
	if (program)
		return 0;
	int error = errno;
	// if the helper is allowed, the verifier rejects its arguments instead
	for (const char *unknown :
	     { "unknown func ", "invalid func ", "cannot use helper ", "policy check failed for helper " })
		if (strstr(log, unknown))
			return error;
	return *log ? 0 : error;
}

// Checks for locks, and for access to what they protect: the storage of a socket, the socket of a
// file. All came with the same kernel version.
int probe_tracing_locks()
{
	for (bpf_func_id helper : { BPF_FUNC_spin_lock, BPF_FUNC_sk_storage_get, BPF_FUNC_sock_from_file }) {
		int error = probe_tracing_helper(helper);
		if (error)
			return error;
	}
	return 0;
}

// Returns whether this kernel has __inet_accept(). Older kernels do all of its work in
// inet_accept().
bool has_inner_accept()
{
	LogCapture quiet;
	return libbpf_find_vmlinux_btf_id("__inet_accept", BPF_TRACE_FEXIT) > 0;
}

// Returns the value of an enumerator, or `otherwise` if the kernel has none of that name. CO-RE
// cannot find anonymous enums.
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

// probe() -> {features: {name: "" | errno's name}, taskHelpers, mptcpHelpers, transparentBit,
// innerAccept}
Napi::Value probe(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Object result = Napi::Object::New(env), features = Napi::Object::New(env);
	auto set_feature = [&](const char *feature, int error) {
		features.Set(feature, Napi::String::New(env, errno_name(error)));
	};
	set_feature("sockops", probe_program(BPF_PROG_TYPE_SOCK_OPS));
	set_feature("getsockopt", probe_program(BPF_PROG_TYPE_CGROUP_SOCKOPT));
	set_feature("getpeername", probe_program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR));
	set_feature("ringbuf", probe_map(BPF_MAP_TYPE_RINGBUF));
	set_feature("socketStorage", probe_map(BPF_MAP_TYPE_SK_STORAGE));
	set_feature("setError", probe_calls(BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_CGROUP_GETSOCKOPT,
					    { set(BPF_REG_1, 0), call(BPF_FUNC_set_retval) }));
	const int task_helpers_error =
		probe_calls(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME,
			    { call(BPF_FUNC_get_current_task_btf), copy(BPF_REG_1, BPF_REG_0),
			      call(BPF_FUNC_task_pt_regs) });
	const int reads_error =
		probe_calls(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_CGROUP_INET4_GETPEERNAME,
			    { copy(BPF_REG_1, BPF_REG_10), add(BPF_REG_1, -8), set(BPF_REG_2, 8),
			      set(BPF_REG_3, 0), call(BPF_FUNC_probe_read_kernel) });
	const int locks_error = probe_tracing_locks();
	set_feature("kernelReads", reads_error);
	// without the helpers, what they would return is read by address
	set_feature("taskRegisters", task_helpers_error ? reads_error : 0);
	set_feature("tracingLocks", locks_error);
	set_feature("listeningSockets", locks_error ? reads_error : 0);
	// the accept program writes under a lock
	set_feature("fexit", locks_error ? locks_error : probe_fexit());
	// this helper came with the accounting of maps to memory cgroups; before that, maps count
	// as locked memory
	set_feature("memoryAccounting", probe_calls(BPF_PROG_TYPE_SOCKET_FILTER, BPF_CGROUP_INET_INGRESS,
						    { call(BPF_FUNC_ktime_get_coarse_ns) }));
	result.Set("features", features);
	const int mptcp_error = probe_calls(BPF_PROG_TYPE_SOCK_OPS, BPF_CGROUP_SOCK_OPS,
					    { load_word(BPF_REG_1, BPF_REG_1, offsetof(bpf_sock_ops, sk)),
					      jump_unless_zero(BPF_REG_1, 2), set(BPF_REG_0, 1), exit_program,
					      call(BPF_FUNC_skc_to_mptcp_sock) });
	result.Set("mptcpHelpers", Napi::Boolean::New(env, !mptcp_error));
	result.Set("taskHelpers", Napi::Boolean::New(env, !task_helpers_error));
	result.Set("transparentBit", Napi::Number::New(env, enumerator("INET_FLAGS_TRANSPARENT", 0)));
	result.Set("innerAccept", Napi::Boolean::New(env, has_inner_accept()));
	return result;
}

} // namespace toascope
