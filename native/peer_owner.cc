// SPDX-License-Identifier: Apache-2.0
// Finds the owner of the other end of a connection within this host.
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

// An endpoint as in sock_diag(7): the port, and the address in the first one or four words.
struct Endpoint {
	uint8_t family;
	uint16_t port;
	uint32_t address[4];
};

std::optional<Endpoint> endpoint_of(const sockaddr_storage &name)
{
	Endpoint endpoint = {};
	if (name.ss_family == AF_INET) {
		auto in = reinterpret_cast<const sockaddr_in &>(name);
		endpoint.family = AF_INET;
		endpoint.port = in.sin_port;
		endpoint.address[0] = in.sin_addr.s_addr;
		return endpoint;
	}
	if (name.ss_family != AF_INET6)
		return std::nullopt;
	auto in6 = reinterpret_cast<const sockaddr_in6 &>(name);
	endpoint.port = in6.sin6_port;
	memcpy(endpoint.address, &in6.sin6_addr, sizeof(endpoint.address));
	endpoint.family = AF_INET6;
	if (IN6_IS_ADDR_V4MAPPED(&in6.sin6_addr)) {
		// the other end can be a socket of either family; an IPv4 one is found by its
		// address
		endpoint.family = AF_INET;
		endpoint.address[0] = endpoint.address[3];
		endpoint.address[1] = endpoint.address[2] = endpoint.address[3] = 0;
	}
	return endpoint;
}

// Connections can be gone before they are queried, but not this many in a row.
const unsigned int unanswered_max = 1000;

// Finds the socket with this local endpoint, in our network namespace.
std::optional<inet_diag_msg> find(const Endpoint &local, const Endpoint &remote)
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
	// the kernel answers before send() returns
	ssize_t length = recv(netlink.get(), answer, sizeof(answer), MSG_DONTWAIT);
	auto header = reinterpret_cast<const nlmsghdr *>(answer);
	if (length < static_cast<ssize_t>(NLMSG_LENGTH(sizeof(inet_diag_msg))) ||
	    header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return std::nullopt;
	return *static_cast<const inet_diag_msg *>(NLMSG_DATA(header));
}

} // namespace

// peerOwner(fd) -> uid; undefined: the other end is elsewhere, or the kernel does not report its
// owner
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
	auto local = endpoint_of(theirs), remote = endpoint_of(ours);
	// without sock_diag each query makes the kernel try to load the module, and even our own
	// end is not found: stop after more than 1000 failures in a row
	static unsigned int unanswered;
	if (unanswered > unanswered_max || !local || !remote)
		return env.Undefined();
	auto found = find(*local, *remote);
	unanswered = found || find(*remote, *local) ? 0 : unanswered + 1;
	// a socket that its process has closed has no owner any more
	auto uid = found && found->idiag_state == TCP_ESTABLISHED ? std::optional(found->idiag_uid) :
								    std::nullopt;
	return uid ? Napi::Number::New(env, *uid) : env.Undefined();
}

// peerProcess(fd) -> {pid, uid} of a Unix socket, or undefined; for the connecting end, the process
// that called listen()
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
