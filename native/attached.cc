// SPDX-License-Identifier: Apache-2.0
// Finds the attached programs of all processes on the hooks that toascope uses, and the maps that
// these programs use.
#include "attached.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "errors.h"
#include "handles.h"

namespace toascope
{
namespace
{

struct Hook {
	const char *name;
	bpf_attach_type type;
};

constexpr Hook hooks[] = {
	{ "sockops", BPF_CGROUP_SOCK_OPS },
	{ "getsockopt", BPF_CGROUP_GETSOCKOPT },
	{ "getpeername4", BPF_CGROUP_INET4_GETPEERNAME },
	{ "getpeername6", BPF_CGROUP_INET6_GETPEERNAME },
};

constexpr __u32 programs_max = 64; // the most that the kernel allows on one hook of a cgroup

// Queries an object that was opened by its id, which requires CAP_SYS_ADMIN: without it the
// descriptor is invalid.
template <typename Info>
bool info_of(int descriptor, Info &info)
{
	Fd object(descriptor);
	__u32 size = sizeof(info);
	return object && !bpf_obj_get_info_by_fd(object.get(), &info, &size);
}

} // namespace

// attachedPrograms(cgroup) -> [{hook, id, name}]: the programs that are attached to this cgroup
// itself; `name` is empty if the kernel hides it, because it shows names only to CAP_SYS_ADMIN
Napi::Value attached_programs(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string path = info[0].ToString();
	Napi::Array result = Napi::Array::New(env);
	Fd cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	if (!cgroup)
		throw system_error(env, errno, "open", path);
	for (const Hook &hook : hooks) {
		__u32 ids[programs_max], flags = 0, count = programs_max;
		if (bpf_prog_query(cgroup.get(), hook.type, 0, &flags, ids, &count)) {
			if (errno == EINVAL || errno == ENOTSUP)
				continue; // a hook that this kernel does not have
			throw system_error(env, errno, "query", path);
		}
		for (__u32 i = 0; i < count; i++) {
			bpf_prog_info about = {};
			const bool known = info_of(bpf_prog_get_fd_by_id(ids[i]), about);
			Napi::Object one = Napi::Object::New(env);
			one.Set("hook", hook.name);
			one.Set("id", ids[i]);
			one.Set("name", known ? about.name : "");
			result.Set(result.Length(), one);
		}
	}
	return result;
}

// attachedLinks() -> [{id, programId}]: the links to cgroups; empty without CAP_SYS_ADMIN
Napi::Value attached_links(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Array result = Napi::Array::New(env);

	for (__u32 id = 0; !bpf_link_get_next_id(id, &id);) {
		bpf_link_info about = {};
		if (!info_of(bpf_link_get_fd_by_id(id), about) || about.type != BPF_LINK_TYPE_CGROUP ||
		    !about.cgroup.cgroup_id)
			continue;
		Napi::Object one = Napi::Object::New(env);
		one.Set("id", about.id);
		one.Set("programId", about.prog_id);
		result.Set(result.Length(), one);
	}
	return result;
}

// programMaps(program's id) -> {name: map's id}; empty without CAP_SYS_ADMIN
Napi::Value program_maps(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::vector<__u32> ids(256);
	bpf_prog_info about = {};
	about.nr_map_ids = ids.size();
	about.map_ids = reinterpret_cast<__u64>(ids.data());
	Napi::Object result = Napi::Object::New(env);

	if (!info_of(bpf_prog_get_fd_by_id(info[0].As<Napi::Number>().Uint32Value()), about))
		return result;
	ids.resize(std::min<size_t>(ids.size(), about.nr_map_ids));
	for (__u32 id : ids) {
		bpf_map_info map = {};
		if (info_of(bpf_map_get_fd_by_id(id), map))
			result.Set(map.name, map.id);
	}
	return result;
}

} // namespace toascope
