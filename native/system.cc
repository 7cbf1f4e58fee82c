// SPDX-License-Identifier: Apache-2.0
// System calls that Node does not offer.
#include "system.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <string>

#include "errors.h"
#include "handles.h"

namespace toascope
{

// notify(path, state): sends one datagram to systemd's socket (sd_notify(3)); a path that starts
// with "@" is an abstract name. EAGAIN: the socket is full
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
	if (!socket || sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
			      reinterpret_cast<sockaddr *>(&address), length) < 0)
		throw system_error(env, errno, "notify", path);
}

// writeNow(fd, bytes) -> the number of bytes that the file accepted now; 0: it has no room, and the
// writer would block. If another writer fills a pipe between poll() and write(), the write can
// still block: there is no call on all kernels that checks and writes atomically.
Napi::Value write_now(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int fd = info[0].As<Napi::Number>().Int32Value();
	auto bytes = info[1].As<Napi::Uint8Array>();
	struct stat file;
	ssize_t written = -1;

	if (fstat(fd, &file) == 0 && S_ISSOCK(file.st_mode)) {
		written = send(fd, bytes.Data(), bytes.ByteLength(), MSG_DONTWAIT | MSG_NOSIGNAL);
	} else {
		pollfd room = { fd, POLLOUT, 0 };
		if (poll(&room, 1, 0) == 0)
			return Napi::Number::New(env, 0);
		written = write(fd, bytes.Data(), std::min<size_t>(bytes.ByteLength(), PIPE_BUF));
	}
	if (written < 0 && errno != EAGAIN)
		throw system_error(env, errno, "write to", "descriptor " + std::to_string(fd));
	return Napi::Number::New(env, static_cast<double>(std::max<ssize_t>(written, 0)));
}

// lock(directory) -> fd, or -1 if another process holds the lock; closing the descriptor releases
// it
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

// Returns what the time namespace adds to CLOCK_MONOTONIC (time_namespaces(7)); 0 if the kernel has
// none. BPF programs see the clock without it.
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
