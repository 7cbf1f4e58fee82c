// SPDX-License-Identifier: Apache-2.0
// Finds connections in the table of the kernel.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>

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

// Reads the entries of these slots, and returns those for which `matches` returns true.
template <typename Matches>
Napi::Value read_entries(Napi::Env env, int fd, const std::vector<uint32_t> &slots, Matches matches)
{
	std::vector<connection> found;
	connection entry;
	for (uint32_t slot : slots)
		if (!bpf_map_lookup_elem_flags(fd, &slot, &entry, BPF_F_LOCK) && entry.cookie &&
		    matches(entry))
			found.push_back(entry);
	return Napi::Buffer<uint8_t>::Copy(env, reinterpret_cast<const uint8_t *>(found.data()),
					   found.size() * sizeof(connection));
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

// connectionsOfPeer(endpoint) -> the entries of the peer's connections, one behind the other
Napi::Value BpfObject::connections_of_peer(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const endpoint peer = endpoint_of(env, info[0]);
	const std::vector<uint32_t> slots = index(env).of_peer(peer);
	return read_entries(env, bpf_map__fd(skeleton()->maps.connections), slots,
			    [&peer](const connection &entry) { return has_peer(entry, peer); });
}

// connectionsOfClient(endpoint, limit) -> the same for a client, of which at most `limit` are read
Napi::Value BpfObject::connections_of_client(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const endpoint client = endpoint_of(env, info[0]);
	const uint32_t limit = uint32_of(env, info[1], "limit");
	const std::vector<uint32_t> slots = index(env).of_client(client, limit);
	return read_entries(env, bpf_map__fd(skeleton()->maps.connections), slots,
			    [&client](const connection &entry) { return has_client(entry, client); });
}

} // namespace toascope
