// SPDX-License-Identifier: Apache-2.0
// Finds connections in the table of the kernel.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <span>

#include "../bpf/records.h"
#include "arguments.h"
#include "errors.h"
#include "object.h"
#include "skeleton.h"

namespace toascope
{

namespace
{

endpoint endpoint_of(Napi::Env env, const Napi::Value &value)
{
	endpoint read;
	memcpy(&read, bytes_of(env, value, sizeof(read), "endpoint").Data(), sizeof(read));
	return read;
}

bool has_peer(const connection &entry, const endpoint &peer)
{
	return memcmp(&entry.peer, &peer, sizeof(peer)) == 0;
}

// Where the option carries no port, accept() shows the peer's.
bool has_client(const connection &entry, const endpoint &client)
{
	const uint16_t port = entry.client.port ?: entry.peer.port;
	return entry.client.family == client.family &&
	       memcmp(entry.client.address, client.address, sizeof(client.address)) == 0 &&
	       (!client.port || client.port == port);
}

// Reads the entries of these slots, as many as `into` has room for, and keeps those for which
// `matches` returns true. Returns their number.
template <typename Matches>
uint32_t read_entries(int fd, const std::vector<uint32_t> &slots, std::span<connection> into, Matches matches)
{
	uint32_t found = 0;
	for (uint32_t slot : slots) {
		if (found == into.size())
			break;
		connection &entry = into[found];
		if (!bpf_map_lookup_elem_flags(fd, &slot, &entry, BPF_F_LOCK) && entry.cookie &&
		    matches(entry))
			found++;
	}
	return found;
}

std::span<connection> entries_of(Napi::Env env, const Napi::Value &value)
{
	auto bytes = bytes_of(env, value, sizeof(connection), "into");
	return { reinterpret_cast<connection *>(bytes.Data()), bytes.ByteLength() / sizeof(connection) };
}

} // namespace

SlotIndex &BpfObject::index(Napi::Env env) const
{
	if (!loaded_->index)
		throw system_error(env, EBADF, "use", "a closed BPF object");
	return *loaded_->index;
}

// refreshIndex(maxBlocks) -> true if no block is left that has changed
Napi::Value BpfObject::refresh_index(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const uint32_t max_blocks = uint32_of(env, info[0], "maxBlocks");
	try {
		return Napi::Boolean::New(env, index(env).refresh(max_blocks));
	} catch (const std::bad_alloc &) {
		throw system_error(env, ENOMEM, "allocate", "the index of the connection table");
	}
}

// connectionsOfPeer(endpoint, into) -> the number of entries of the peer's connections
Napi::Value BpfObject::connections_of_peer(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const endpoint peer = endpoint_of(env, info[0]);
	const std::span<connection> into = entries_of(env, info[1]);
	const std::vector<uint32_t> slots = index(env).of_peer(peer);
	auto matches = [&peer](const connection &entry) {
		return has_peer(entry, peer);
	};
	return Napi::Number::New(
		env, read_entries(bpf_map__fd(skeleton()->maps.connections), slots, into, matches));
}

// connectionsOfClient(endpoint, into) -> the same for a client
Napi::Value BpfObject::connections_of_client(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const endpoint client = endpoint_of(env, info[0]);
	const std::span<connection> into = entries_of(env, info[1]);
	const std::vector<uint32_t> slots = index(env).of_client(client, into.size());
	auto matches = [&client](const connection &entry) {
		return has_client(entry, client);
	};
	return Napi::Number::New(
		env, read_entries(bpf_map__fd(skeleton()->maps.connections), slots, into, matches));
}

} // namespace toascope
