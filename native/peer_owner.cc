// SPDX-License-Identifier: Apache-2.0
// Who is at the other end of a connection of this host.
#include "peer_owner.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cstdint>
#include <cstring>
#include <optional>

#include "handles.h"

namespace toascope
{
namespace
{

// As sock_diag(7) has it: the port, and the address in the first one or four words.
struct End {
	uint8_t family;
	uint16_t port;
	uint32_t address[4];
};

std::optional<End> end_of(const sockaddr_storage &name)
{
	End end = {};
	if (name.ss_family == AF_INET) {
		auto in = reinterpret_cast<const sockaddr_in &>(name);
		end.family = AF_INET;
		end.port = in.sin_port;
		end.address[0] = in.sin_addr.s_addr;
		return end;
	}
	if (name.ss_family != AF_INET6)
		return std::nullopt;
	auto in6 = reinterpret_cast<const sockaddr_in6 &>(name);
	end.port = in6.sin6_port;
	memcpy(end.address, &in6.sin6_addr, sizeof(end.address));
	end.family = AF_INET6;
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		// the other end may be a socket of either family; an IPv4 one is found by its address
		end.family = AF_INET;
		end.address[0] = end.address[3];
		end.address[1] = end.address[2] = end.address[3] = 0;
	}
	return end;
}

// Connections may be gone before they are asked for; as many as these in a row are not.
const unsigned int unanswered_most = 1000;

// The socket whose local end this is, in our network namespace.
std::optional<inet_diag_msg> find(const End &local, const End &remote)
{
	struct {
		nlmsghdr header;
		inet_diag_req_v2 diag;
	} request = {};
	request.header.nlmsg_len = sizeof(request);
	request.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
	request.header.nlmsg_flags = NLM_F_REQUEST;
	request.diag.sdiag_family = local.family;
	request.diag.sdiag_protocol = IPPROTO_TCP;
	request.diag.idiag_states = ~0u;
	request.diag.id.idiag_sport = local.port;
	request.diag.id.idiag_dport = remote.port;
	memcpy(request.diag.id.idiag_src, local.address, sizeof(local.address));
	memcpy(request.diag.id.idiag_dst, remote.address, sizeof(remote.address));
	request.diag.id.idiag_cookie[0] = request.diag.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;

	Fd netlink(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
	if (!netlink || send(netlink.get(), &request, sizeof(request), 0) < 0)
		return std::nullopt;
	alignas(nlmsghdr) char answer[8192];
	// the kernel has answered before send() returns
	ssize_t length = recv(netlink.get(), answer, sizeof(answer), MSG_DONTWAIT);
	auto header = reinterpret_cast<const nlmsghdr *>(answer);
	if (length < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(inet_diag_msg))) ||
	    header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return std::nullopt;
	return *static_cast<const inet_diag_msg *>(NLMSG_DATA(header));
}

} // namespace

// peerOwner(fd) -> uid, or undefined: elsewhere, or not to be told
Napi::Value peer_owner(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	int fd = info[0].As<Napi::Number>().Int32Value();
	ucred credentials = {};
	sockaddr_storage ours = {}, theirs = {};
	socklen_t length = sizeof(ours);
	if (getsockname(fd, reinterpret_cast<sockaddr *>(&ours), &length))
		return env.Undefined();
	if (ours.ss_family == AF_UNIX) {
		length = sizeof(credentials);
		if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length))
			return env.Undefined();
		return Napi::Number::New(env, credentials.uid);
	}
	length = sizeof(theirs);
	if (getpeername(fd, reinterpret_cast<sockaddr *>(&theirs), &length))
		return env.Undefined();
	auto local = end_of(theirs), remote = end_of(ours);
	// a kernel without sock_diag would look for a module each time: it would not know our own end either
	static unsigned int unanswered;
	if (unanswered > unanswered_most || !local || !remote)
		return env.Undefined();
	auto found = find(*local, *remote);
	unanswered = found || find(*remote, *local) ? 0 : unanswered + 1;
	// one that its process has closed has lost its owner
	auto uid = found && found->idiag_state == TCP_ESTABLISHED ? std::optional(found->idiag_uid) :
								    std::nullopt;
	return uid ? Napi::Number::New(env, *uid) : env.Undefined();
}

// peerProcess(fd) -> {pid, uid} of a Unix socket, or undefined. Of the end that connects: who called listen().
Napi::Value peer_process(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	ucred credentials = {};
	socklen_t length = sizeof(credentials);
	if (getsockopt(info[0].As<Napi::Number>().Int32Value(), SOL_SOCKET, SO_PEERCRED, &credentials,
		       &length) ||
	    credentials.uid == static_cast<uid_t>(-1))
		return env.Undefined();
	Napi::Object process = Napi::Object::New(env);
	process.Set("pid", Napi::Number::New(env, credentials.pid));
	process.Set("uid", Napi::Number::New(env, credentials.uid));
	return process;
}

} // namespace toascope
