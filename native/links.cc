// SPDX-License-Identifier: Apache-2.0
// The state of our links and pins in the kernel: another process can have detached what was
// attached.
#include "links.h"

#include <bpf/bpf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "errors.h"
#include "object.h"
#include "skeleton.h"

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

// Returns whether a link is attached to a cgroup. The id of a cgroup is the inode number of its
// directory; that of a link that was detached, or whose cgroup is gone, is 0.
bool is_attached_to(const bpf_link *link, const std::string &cgroup)
{
	bpf_link_info info;
	struct stat directory;
	return link_info(link, info) && !stat(cgroup.c_str(), &directory) &&
	       info.type == BPF_LINK_TYPE_CGROUP && info.cgroup.cgroup_id == directory.st_ino;
}

// Pins an object at a path where another one can be pinned. If the process is killed meanwhile, one
// of the two is pinned there. Returns 0, or errno: then the previous pin is unchanged.
int pin_in_place(int fd, const std::string &pin)
{
	const std::string next = pin + "_next";

	// left by a process that was killed between the two steps below
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

// links() -> [{program, id, programId, ours, cgroup?}]: the state of each link in the kernel;
// `ours`: it runs our program
Napi::Value BpfObject::links(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (!skeleton())
		throw system_error(env, EBADF, "use", "a closed BPF object");
	// connections can outlive the removal of their cgroup; when the last one is gone, the
	// kernel detaches the link
	std::erase_if(draining_, [](const Link &link) {
		bpf_link_info about;
		return !link_info(link.get(), about) || !about.cgroup.cgroup_id;
	});
	Napi::Array result = Napi::Array::New(env);
	for (const auto &[name, link] : links_) {
		bpf_link_info about;
		if (!link_info(link.get(), about))
			throw system_error(env, errno, "query", name);
		const bpf_program *program = bpf_object__find_program_by_name(skeleton()->obj, name.c_str());
		const __u32 own = program ? program_id(program) : 0;
		Napi::Object state = Napi::Object::New(env);
		state.Set("program", name);
		state.Set("id", about.id);
		state.Set("programId", own);
		state.Set("ours", Napi::Boolean::New(env, own != 0 && about.prog_id == own));
		if (about.type == BPF_LINK_TYPE_CGROUP)
			state.Set("cgroup",
				  Napi::BigInt::New(env, static_cast<uint64_t>(about.cgroup.cgroup_id)));
		result.Set(result.Length(), state);
	}
	return result;
}

// detach(program) -> {attached, pin}: `pin` is the errno with which removing the pin failed.
// Without a link of that name, neither is set. A link to a cgroup is detached explicitly. Other
// links have no such operation: they stay attached as long as a descriptor or a pin is left.
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

// pin(program, path): pins the link of a program, and replaces whatever is pinned there
void BpfObject::pin(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const std::string name = info[0].ToString(), path = info[1].ToString();
	auto found = links_.find(name);
	if (found == links_.end())
		throw system_error(env, ENOTCONN, "pin", name);
	int error = pin_in_place(bpf_link__fd(found->second.get()), path);
	if (!error) {
		// open the link through its pin, so that detach() removes the pin with it
		Link pinned(bpf_link__open(path.c_str()));
		if (pinned)
			found->second = std::move(pinned);
		else
			error = errno;
	}
	if (error)
		throw system_error(env, error, "pin", path);
}

// pinnedId(path) -> the id of the map, program or link that is pinned there; undefined: nothing is
Napi::Value pinned_id(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string path = info[0].ToString();
	Fd object(bpf_obj_get(path.c_str()));
	// the info of all three kinds begins with type and id
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
