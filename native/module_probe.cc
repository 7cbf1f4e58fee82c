// SPDX-License-Identifier: Apache-2.0
// Makes one connection over loopback, sends a crafted segment with an option for it, and reports
// what getsockopt(4096) returns.
#include "module_probe.h"

#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <optional>

#include "arguments.h"
#include "errors.h"
#include "handles.h"

namespace toascope
{
namespace
{

constexpr int toa_so_get_lookup = 4096;
// value for TCP_REPAIR: switches it off without a window probe (include/uapi/linux/tcp.h)
constexpr int repair_off_no_wp = -1;
constexpr size_t options_max = 40;

using Client = std::array<uint8_t, 20>; // struct toa_nat64_peer

struct Pair {
	Fd client, server;
	sockaddr_in client_at = {}, server_at = {};
};

[[noreturn]] void fail(Napi::Env env, const char *op)
{
	throw system_error(env, errno, op, "the connection that checks toa.ko");
}

Fd tcp_socket(Napi::Env env)
{
	Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	if (!fd)
		fail(env, "create");
	timeval limit = { .tv_sec = 1, .tv_usec = 0 };
	setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	// limits connect() too: if a firewall drops the SYN, it would wait for two minutes
	setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return fd;
}

Pair connect_over_loopback(Napi::Env env)
{
	Pair pair;
	Fd listener = tcp_socket(env);
	socklen_t size = sizeof(pair.server_at);
	pair.server_at.sin_family = AF_INET;
	pair.server_at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	auto *server_at = reinterpret_cast<sockaddr *>(&pair.server_at);
	if (bind(listener.get(), server_at, size) || listen(listener.get(), 1) ||
	    getsockname(listener.get(), server_at, &size))
		fail(env, "listen for");
	pair.client = tcp_socket(env);
	if (connect(pair.client.get(), server_at, size) ||
	    getsockname(pair.client.get(), reinterpret_cast<sockaddr *>(&pair.client_at), &size))
		fail(env, "open");
	pair.server.reset(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
	if (!pair.server)
		fail(env, "accept");
	return pair;
}

// Returns errno, or 0 and the client.
int query_client(const Pair &pair, Client &client)
{
	socklen_t size = client.size();
	return getsockopt(pair.server.get(), IPPROTO_IP, toa_so_get_lookup, client.data(), &size) ? errno : 0;
}

uint32_t sequence(Napi::Env env, const Pair &pair, int queue)
{
	uint32_t number = 0;
	socklen_t size = sizeof(number);
	if (setsockopt(pair.client.get(), IPPROTO_TCP, TCP_REPAIR_QUEUE, &queue, sizeof(queue)) ||
	    getsockopt(pair.client.get(), IPPROTO_TCP, TCP_QUEUE_SEQ, &number, &size))
		fail(env, "read the sequence numbers of");
	return number;
}

// RFC 1071
uint16_t checksum(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		sum += bytes[i] << 8 | bytes[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

uint32_t sum_of(const in_addr &address)
{
	uint32_t host = ntohl(address.s_addr);
	return (host >> 16) + (host & 0xffff);
}

// Sends an ACK without data, as the client's socket would, but with these options.
void send_ack(Napi::Env env, const Pair &pair, const uint8_t *options, size_t length)
{
	int on = 1, off = repair_off_no_wp;
	if (setsockopt(pair.client.get(), IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)))
		fail(env, "enter repair mode on");
	uint32_t sent = sequence(env, pair, TCP_SEND_QUEUE), received = sequence(env, pair, TCP_RECV_QUEUE);
	if (setsockopt(pair.client.get(), IPPROTO_TCP, TCP_REPAIR, &off, sizeof(off)))
		fail(env, "leave repair mode on");

	std::array<uint8_t, sizeof(tcphdr) + options_max> segment = {};
	size_t padded = (length + 3) / 4 * 4, size = sizeof(tcphdr) + padded;
	tcphdr header = {};
	header.source = pair.client_at.sin_port;
	header.dest = pair.server_at.sin_port;
	header.seq = htonl(sent);
	header.ack_seq = htonl(received);
	header.doff = size / 4;
	header.ack = 1;
	header.window = htons(1024);
	memcpy(segment.data(), &header, sizeof(header));
	memset(segment.data() + sizeof(header), TCPOPT_NOP, padded - length);
	memcpy(segment.data() + sizeof(header) + padded - length, options, length);
	uint32_t pseudo =
		sum_of(pair.client_at.sin_addr) + sum_of(pair.server_at.sin_addr) + IPPROTO_TCP + size;
	header.check = htons(checksum(segment.data(), size, pseudo));
	memcpy(segment.data(), &header, sizeof(header));

	Fd raw(socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_TCP));
	sockaddr_in to = pair.server_at;
	to.sin_port = 0;
	if (!raw ||
	    sendto(raw.get(), segment.data(), size, 0, reinterpret_cast<sockaddr *>(&to), sizeof(to)) < 0)
		fail(env, "send a segment of");
}

} // namespace

// probeModule(option) -> {errnoBefore, errnoAfter, peer?}: the names of errno ("" is success)
// before and after a segment with the option
Napi::Value probe_module(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	auto option = bytes_of(env, info[0], 0, "option");
	if (option.ByteLength() > options_max)
		throw system_error(env, EINVAL, "send a segment of", "the connection that checks toa.ko");
	Pair pair = connect_over_loopback(env);
	Client client = {};
	const int before = query_client(pair, client);
	send_ack(env, pair, option.Data(), option.ByteLength());
	// the byte arrives after the segment: then the verdict is final
	char byte = 0;
	if (send(pair.client.get(), &byte, 1, MSG_NOSIGNAL) != 1 || recv(pair.server.get(), &byte, 1, 0) != 1)
		fail(env, "send over");
	const int after = query_client(pair, client);
	Napi::Object result = Napi::Object::New(env);
	result.Set("errnoBefore", Napi::String::New(env, errno_name(before)));
	result.Set("errnoAfter", Napi::String::New(env, errno_name(after)));
	if (!after)
		result.Set("peer", Napi::Buffer<uint8_t>::Copy(env, client.data(), client.size()));
	return result;
}

} // namespace toascope
