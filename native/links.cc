// SPDX-License-Identifier: Apache-2.0
// What the kernel says of our links and pins: attached once does not mean attached now.
#include "links.h"

#include <bpf/bpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "errors.h"
#include "object.h"
#include "toascope.skel.h"

namespace toascope
{
namespace
{

bool link_info(const bpf_link *link, bpf_link_info &info)
{
	__u32 size = sizeof(info);
	info = {};
	return link && !bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size);
}

__u32 program_id(const bpf_program *program)
{
	bpf_prog_info info = {};
	__u32 size = sizeof(info);
	return bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) ? 0 : info.id;
}

} // namespace

// A cgroup's id is the inode number of its directory; that of a link whose cgroup is gone, or that was detached, is 0.
bool is_attached_to(const bpf_link *link, const std::string &cgroup)
{
	bpf_link_info info;
	struct stat directory;
	return link_info(link, info) && !stat(cgroup.c_str(), &directory) &&
	       info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == directory.st_ino;
}

// Pins an object where another may be pinned: a process that is killed here leaves one of the two there, never none.
// Returns 0, or errno: what was pinned there is there still.
int pin_in_place(int fd, const std::string &pin)
{
	const std::string next = pin + "_next";

	// left by a process that was killed between the two steps
	unlink(next.c_str());
	if (bpf_obj_pin(fd, next.c_str()))
		return errno;
	if (rename(next.c_str(), pin.c_str())) {
		int error = errno;
		unlink(next.c_str());
		return error;
	}
	return 0;
}

// links() -> [{program, id, programId, ours, cgroup?}]: what the kernel says of each link; `ours`: it runs our program
Napi::Value BpfObject::links(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (!skeleton_)
		throw system_error(env, EBADF, "use", "a closed BPF object");
	// connections of a cgroup that was removed may outlive it; when the last one is gone, the kernel detaches the link
	std::erase_if(draining_, [](const Link &link) {
		bpf_link_info about;
		return !link_info(link.get(), about) || !about.cgroup.cgroup_id;
	});
	Napi::Array result = Napi::Array::New(env);
	for (const auto &[name, link] : links_) {
		bpf_link_info about;
		if (!link_info(link.get(), about))
			throw system_error(env, errno, "query", name);
		const bpf_program *program = bpf_object__find_program_by_name(skeleton_->obj, name.c_str());
		const __u32 own = program ? program_id(program) : 0;
		Napi::Object one = Napi::Object::New(env);
		one.Set("program", name);
		one.Set("id", about.id);
		one.Set("programId", own);
		one.Set("ours", Napi::Boolean::New(env, own != 0 && about.prog_id == own));
		if (about.type == BPF_LINK_TYPE_CGROUP)
			one.Set("cgroup",
				Napi::BigInt::New(env, static_cast<uint64_t>(about.cgroup.cgroup_id)));
		result.Set(result.Length(), one);
	}
	return result;
}

// detach(program) -> {attached, pin}: `pin` names what refused to take the pin away; without a link of that name: neither.
// A link to a cgroup is detached as such. Others have no such operation: they are attached while a descriptor or pin is left.
Napi::Value BpfObject::detach(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Object result = Napi::Object::New(env);
	int refused = 0;
	bool detached = true;

	auto found = links_.find(info[0].ToString());
	if (found != links_.end()) {
		bpf_link *link = found->second.get();
		detached = !bpf_link_detach(bpf_link__fd(link)) || errno == ENOLINK;
		const char *pin = bpf_link__pin_path(link);
		if (pin && unlink(pin) && errno != ENOENT)
			refused = errno;
		links_.erase(found);
	}
	result.Set("attached", Napi::Boolean::New(env, refused && !detached));
	result.Set("pin", Napi::String::New(env, errno_name(refused)));
	return result;
}

// pin(name, path): pins the link of a program, or a map, at a path where its pin is gone, or another's is
void BpfObject::pin(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string name = info[0].ToString(), path = info[1].ToString();
	auto found = links_.find(name);
	const int fd =
		found != links_.end() ? bpf_link__fd(found->second.get()) : bpf_map__fd(map(env, info[0]));
	int error = pin_in_place(fd, path);
	if (!error && found != links_.end()) {
		// as the link that is pinned: detach() takes the pin away with it
		Link pinned(bpf_link__open(path.c_str()));
		if (pinned)
			found->second = std::move(pinned);
		else
			error = errno;
	}
	if (error)
		throw system_error(env, error, "pin", path);
}

// mapId(map) -> its number, as the kernel has it
Napi::Value BpfObject::map_id(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	bpf_map_info about = {};
	__u32 size = sizeof(about);

	if (bpf_obj_get_info_by_fd(bpf_map__fd(of), &about, &size))
		throw system_error(env, errno, "query", bpf_map__name(of));
	return Napi::Number::New(env, about.id);
}

// pinnedId(path) -> the number of the map, program or link that is pinned there; undefined: none is
Napi::Value pinned_id(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string path = info[0].ToString();
	Fd object(bpf_obj_get(path.c_str()));
	// all three kinds begin alike: type, id
	struct {
		__u32 type, id;
		__u8 rest[256];
	} about = {};
	__u32 size = sizeof(about);

	if (!object && (errno == ENOENT || errno == ENOTDIR))
		return env.Undefined();
	if (!object || bpf_obj_get_info_by_fd(object.get(), &about, &size))
		throw system_error(env, errno, "open", path);
	return Napi::Number::New(env, about.id);
}

} // namespace toascope
