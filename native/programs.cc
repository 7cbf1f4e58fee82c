// SPDX-License-Identifier: Apache-2.0
// Runs the programs that the daemon runs itself, and reports the cost of all programs.
#include <bpf/bpf.h>

#include <cerrno>
#include <string>

#include "arguments.h"
#include "errors.h"
#include "links.h"
#include "object.h"
#include "skeleton.h"

namespace toascope
{

// iterate(program, output) -> the number of bytes written; runs an attached iterator to its end
Napi::Value BpfObject::iterate(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_program *bpf_prog = program(env, info[0]);
	auto output = bytes_of(env, info[1], 0, "output");
	auto link = links_.find(bpf_program__name(bpf_prog));
	if (link == links_.end())
		throw system_error(env, ENOTCONN, "iterate", bpf_program__name(bpf_prog));

	Fd iterator(bpf_iter_create(bpf_link__fd(link->second.get())));
	if (!iterator)
		throw system_error(env, errno, "iterate", bpf_program__name(bpf_prog));
	size_t used = 0;
	for (;;) {
		uint8_t rest[64];
		bool full = used == output.ByteLength();
		ssize_t got = read(iterator.get(), full ? rest : output.Data() + used,
				   full ? sizeof(rest) : output.ByteLength() - used);
		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0)
			throw system_error(env, errno, "iterate", bpf_program__name(bpf_prog));
		if (got == 0)
			break;
		if (full)
			throw system_error(env, ENOBUFS, "iterate", bpf_program__name(bpf_prog));
		used += got;
	}
	return Napi::Number::New(env, static_cast<double>(used));
}

namespace
{

Napi::Value run_program(int fd, const std::string &name, const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	auto input = bytes_of(env, info[1], 0, "input");
	const int times = info[2].IsNumber() ? info[2].As<Napi::Number>().Int32Value() : 1;
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = input.Data(),
		    .data_size_in = static_cast<__u32>(input.ByteLength()), .repeat = times);
	int error;
	do
		error = bpf_prog_test_run_opts(fd, &options) ? errno : 0;
	while (error == EINTR);
	if (error)
		throw system_error(env, error, "run", name);
	return Napi::Number::New(env, options.retval);
}

} // namespace

// run(program, input, times) -> the result of the last run; the input is the packet
Napi::Value BpfObject::run(const Napi::CallbackInfo &info)
{
	const bpf_program *bpf_prog = program(info.Env(), info[0]);
	return run_program(bpf_program__fd(bpf_prog), bpf_program__name(bpf_prog), info);
}

// runPinned(path, input, times): like run(), for a program of any version, by its pin
Napi::Value run_pinned(const Napi::CallbackInfo &info)
{
	const std::string path = info[0].ToString();
	Fd fd(bpf_obj_get(path.c_str()));
	if (!fd)
		throw system_error(info.Env(), errno, "open", path);
	return run_program(fd.get(), path, info);
}

// pinProgram(program, path): pins a program, and replaces what is pinned there
void BpfObject::pin_program(const Napi::CallbackInfo &info)
{
	const std::string path = info[1].ToString();
	const int error = pin_in_place(bpf_program__fd(program(info.Env(), info[0])), path);
	if (error)
		throw system_error(info.Env(), error, "pin", path);
}

// Returns whether the kernel skips the program if it is already running on that CPU.
static bool can_be_skipped(const bpf_program *bpf_prog)
{
	return bpf_program__type(bpf_prog) == BPF_PROG_TYPE_RAW_TRACEPOINT ||
	       (bpf_program__type(bpf_prog) == BPF_PROG_TYPE_TRACING &&
		bpf_program__expected_attach_type(bpf_prog) != BPF_TRACE_ITER);
}

// programStatistics() -> [{program, runs, runNs, misses?}]; runs and runNs are 0 unless
// kernel.bpf_stats_enabled is on
Napi::Value BpfObject::program_statistics(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (!skeleton())
		throw system_error(env, EBADF, "use", "a closed BPF object");
	Napi::Array result = Napi::Array::New(env);
	bpf_program *each;
	bpf_object__for_each_program(each, skeleton()->obj)
	{
		bpf_prog_info about = {};
		__u32 size = sizeof(about);
		if (!bpf_program__autoload(each))
			continue;
		if (bpf_obj_get_info_by_fd(bpf_program__fd(each), &about, &size))
			throw system_error(env, errno, "query", bpf_program__name(each));
		Napi::Object one = Napi::Object::New(env);
		one.Set("program", bpf_program__name(each));
		one.Set("runs", Napi::BigInt::New(env, static_cast<uint64_t>(about.run_cnt)));
		one.Set("runNs", Napi::BigInt::New(env, static_cast<uint64_t>(about.run_time_ns)));
		// a kernel that does not report it leaves it zero
		if (can_be_skipped(each))
			one.Set("misses",
				Napi::BigInt::New(env, static_cast<uint64_t>(about.recursion_misses)));
		result.Set(result.Length(), one);
	}
	return result;
}

} // namespace toascope
