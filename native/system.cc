// SPDX-License-Identifier: Apache-2.0
// System calls that Node does not offer.
#include "system.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>

#include "errors.h"
#include "handles.h"

namespace toascope
{

// notify(path, state): one datagram to systemd's socket (sd_notify(3)); "@" begins an abstract name
void notify(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string path = info[0].As<Napi::String>(), state = info[1].As<Napi::String>();
	sockaddr_un address = {};
	if (path.empty() || path.size() >= sizeof(address.sun_path))
		throw system_error(env, EINVAL, "notify", path);
	address.sun_family = AF_UNIX;
	memcpy(address.sun_path, path.data(), path.size());
	if (address.sun_path[0] == '@')
		address.sun_path[0] = 0;
	socklen_t length = offsetof(sockaddr_un, sun_path) + path.size();
	Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	if (!socket || sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
			      reinterpret_cast<sockaddr *>(&address), length) < 0)
		throw system_error(env, errno, "notify", path);
}

// lock(directory) -> fd, or -1 when another process holds it; the lock ends with the descriptor
Napi::Value lock(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	std::string path = info[0].As<Napi::String>();
	int fd = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		throw system_error(env, errno, "lock", path);
	if (flock(fd, LOCK_EX | LOCK_NB)) {
		int error = errno;
		close(fd);
		if (error != EWOULDBLOCK)
			throw system_error(env, error, "lock", path);
		return Napi::Number::New(env, -1);
	}
	return Napi::Number::New(env, fd);
}

// mountBpffs(path)
void mount_bpffs(const Napi::CallbackInfo &info)
{
	std::string path = info[0].As<Napi::String>();
	if (mount("bpf", path.c_str(), "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700"))
		throw system_error(info.Env(), errno, "mount bpffs on", path);
}

// unmount(path)
void unmount(const Napi::CallbackInfo &info)
{
	std::string path = info[0].As<Napi::String>();
	if (umount2(path.c_str(), MNT_DETACH))
		throw system_error(info.Env(), errno, "unmount", path);
}

// What the time namespace adds to CLOCK_MONOTONIC (time_namespaces(7)); nothing where the kernel has none. Programs go without.
static int64_t namespace_offset_ns()
{
	std::ifstream offsets("/proc/self/timens_offsets");
	std::string clock;
	int64_t seconds, nanoseconds;

	while (offsets >> clock >> seconds >> nanoseconds)
		if (clock == "monotonic")
			return seconds * 1000000000 + nanoseconds;
	return 0;
}

// monotonicNs() -> CLOCK_MONOTONIC of the initial time namespace, the clock of bpf_ktime_get_ns()
Napi::Value monotonic_ns(const Napi::CallbackInfo &info)
{
	static const int64_t offset = namespace_offset_ns();
	timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	const int64_t here = static_cast<int64_t>(now.tv_sec) * 1000000000 + now.tv_nsec;
	return Napi::BigInt::New(info.Env(), here - offset);
}

} // namespace toascope
