// SPDX-License-Identifier: Apache-2.0
// What this kernel can do, found by trying: versions say nothing, distributions backport.
#include "probe.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include <cerrno>
#include <cstring>

#include "errors.h"
#include "handles.h"

namespace toascope
{
namespace
{

const bpf_insn return_zero[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0, .src_reg = 0, .off = 0, .imm = 0 },
	{ .code = BPF_JMP | BPF_EXIT, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = 0 },
};

// 0, or the errno that refused it
int probe_fexit()
{
	LogCapture quiet;
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

// May programs of type tracing call it? libbpf_probe_bpf_helper() does not know these programs.
int probe_tracing_helper(bpf_func_id helper)
{
	LogCapture quiet;
	int btf_id = libbpf_find_vmlinux_btf_id("bpf_sk_storage_map", BPF_TRACE_ITER);
	if (btf_id < 0)
		return -btf_id;
	const bpf_insn call[] = {
		{ .code = BPF_JMP | BPF_CALL, .dst_reg = 0, .src_reg = 0, .off = 0, .imm = helper },
		return_zero[1],
	};
	char log[4096] = "";
	LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_ITER,
		    .attach_btf_id = static_cast<__u32>(btf_id), .log_level = 1, .log_size = sizeof(log),
		    .log_buf = log);
	Fd program(bpf_prog_load(BPF_PROG_TYPE_TRACING, "toascope_probe", "GPL", call, 2, &options));
	if (program)
		return 0;
	int error = errno;
	// where it may, the verifier finds fault with the arguments instead
	const bool unknown = strstr(log, "unknown func ") || strstr(log, "invalid func ") ||
			     strstr(log, "cannot use helper ");
	return *log && !unknown ? 0 : error;
}

int probe_tracing_locks()
{
	int error = probe_tracing_helper(BPF_FUNC_spin_lock);
	return error ? error : probe_tracing_helper(BPF_FUNC_sk_storage_get);
}

// Has this kernel __inet_accept()? Older ones do all of it in inet_accept().
bool has_inner_accept()
{
	LogCapture quiet;
	return libbpf_find_vmlinux_btf_id("__inet_accept", BPF_TRACE_FEXIT) > 0;
}

int probe_helper(bpf_prog_type type, bpf_func_id helper)
{
	LogCapture quiet;
	int result = libbpf_probe_bpf_helper(type, helper, nullptr);
	return result == 1 ? 0 : result == 0 ? EOPNOTSUPP : -result;
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

// probe() -> {features: {name: "" | errno's name}, registersHelper, innerAccept}
Napi::Value probe(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Object result = Napi::Object::New(env), features = Napi::Object::New(env);
	auto set = [&](const char *feature, int error) {
		const char *name = error ? strerrorname_np(error) : "";
		features.Set(feature, Napi::String::New(env, name ? name : "UNKNOWN"));
	};
	set("sockops", probe_program(BPF_PROG_TYPE_SOCK_OPS));
	set("getsockopt", probe_program(BPF_PROG_TYPE_CGROUP_SOCKOPT));
	set("getpeername", probe_program(BPF_PROG_TYPE_CGROUP_SOCK_ADDR));
	set("ringbuf", probe_map(BPF_MAP_TYPE_RINGBUF));
	set("socketStorage", probe_map(BPF_MAP_TYPE_SK_STORAGE));
	set("setError", probe_helper(BPF_PROG_TYPE_CGROUP_SOCKOPT, BPF_FUNC_set_retval));
	const int no_helper = probe_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_task_pt_regs);
	// without it they are read from the stack
	set("taskRegisters",
	    no_helper ? probe_helper(BPF_PROG_TYPE_CGROUP_SOCK_ADDR, BPF_FUNC_probe_read_kernel) : 0);
	set("tracingLocks", probe_tracing_locks());
	set("fexit", probe_fexit());
	// came with the accounting of maps to memory cgroups; before, they count as locked memory
	set("memoryAccounting", probe_helper(BPF_PROG_TYPE_SOCKET_FILTER, BPF_FUNC_ktime_get_coarse_ns));
	result.Set("features", features);
	result.Set("registersHelper", Napi::Boolean::New(env, !no_helper));
	result.Set("innerAccept", Napi::Boolean::New(env, has_inner_accept()));
	return result;
}

} // namespace toascope
