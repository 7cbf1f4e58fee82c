// SPDX-License-Identifier: Apache-2.0
// Sets TCP_SAVE_SYN on listeners of other processes.
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
#include "skeleton.h"

namespace toascope
{

// setSaveSyn(pid, fd, on): sets TCP_SAVE_SYN on a listener of another process, and marks that it is
// ours; resets it only if that mark exists
void BpfObject::set_save_syn(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int marks = bpf_map__fd(find_map(env, *loaded_, Napi::String::New(env, "syn_kept")));
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
	// the descriptor can refer to another socket by now
	int listens = 0;
	socklen_t size = sizeof(listens);
	if (getsockopt(listener, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) || !listens) {
		// the descriptor can be any file, for example on a FUSE mount, where close(2) can
		// block indefinitely: close it in a thread
		try {
			std::thread([unrelated = std::move(socket)] {}).detach();
		} catch (const std::system_error &) {
			// no thread can be created (pids.max): it was closed in this thread after
			// all
		}
		throw system_error(env, EBADF, "find a listener at", target);
	}
	uint32_t ours;
	if (!on && bpf_map_lookup_elem(marks, &listener, &ours))
		return;
	// set the mark first and remove it last: SYNs kept without it would still be kept after
	// toascope is gone
	if (on && bpf_map_update_elem(marks, &listener, &mark, BPF_ANY))
		throw system_error(env, errno, "mark", target);
	int error = setsockopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, &on, sizeof(on)) ? errno : 0;
	// processes can share a listener: then its mark was removed with its first descriptor
	if ((on ? error : !error) && bpf_map_delete_elem(marks, &listener) && errno != ENOENT)
		throw system_error(env, errno, "unmark", target);
	if (error)
		throw system_error(env, error, "set TCP_SAVE_SYN at", target);
}

} // namespace toascope
