// SPDX-License-Identifier: Apache-2.0
// Listeners of other processes.
#include <bpf/bpf.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <thread>

#include "errors.h"
#include "handles.h"
#include "object.h"
#include "toascope.skel.h"

namespace toascope
{

// keepSyns(pid, fd, keep): TCP_SAVE_SYN on a listener of another process, and the mark that it is ours; only
// where that mark is, it is taken back
void BpfObject::keep_syns(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int marks = bpf_map__fd(map(env, Napi::String::New(env, "syn_kept")));
	int pid = info[0].As<Napi::Number>().Int32Value(), fd = info[1].As<Napi::Number>().Int32Value();
	int on = info[2].ToBoolean();
	const uint32_t mark = 1;
	std::string target = "descriptor " + std::to_string(fd) + " of process " + std::to_string(pid);

	Fd process(syscall(SYS_pidfd_open, pid, 0));
	if (!process)
		throw system_error(env, errno, "open", target);
	Fd socket(syscall(SYS_pidfd_getfd, process.get(), fd, 0));
	if (!socket)
		throw system_error(env, errno, "get", target);
	int listener = socket.get();
	// the descriptor may be another socket's by now
	int listens = 0;
	socklen_t size = sizeof(listens);
	if (getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens) {
		// of any kind, a file system's in user space too: close(2) may wait for as long as its owner likes
		try {
			std::thread([stray = std::move(socket)] {}).detach();
		} catch (const std::system_error &) {
			// no thread is to be had (pids.max): it was closed here after all
		}
		throw system_error(env, EBADF, "find a listener at", target);
	}
	uint32_t ours;
	if (!on && bpf_map_lookup_elem(marks, &listener, &ours))
		return;
	// the mark first, and last: SYNs kept without it would be kept also when we are gone
	if (on && bpf_map_update_elem(marks, &listener, &mark, BPF_ANY))
		throw system_error(env, errno, "mark", target);
	int error = setsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on)) ? errno : 0;
	// processes share a listener: the mark went with the first descriptor of it
	if ((on ? error : !error) && bpf_map_delete_elem(marks, &listener) && errno != ENOENT)
		throw system_error(env, errno, "unmark", target);
	if (error)
		throw system_error(env, error, "set TCP_SAVE_SYN at", target);
}

} // namespace toascope
