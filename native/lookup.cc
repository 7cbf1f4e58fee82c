// SPDX-License-Identifier: Apache-2.0
// Finds connections in the table of the kernel.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <functional>
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

// Reads entries for a lookup into `into`, and keeps those for which `matches` returns true.
template <typename Matches>
class EntryReader
{
public:
	EntryReader(int fd, std::span<connection> into, Matches matches)
		: fd_(fd), into_(into), matches_(matches)
	{
	}

	// False: there is no room, or too many entries of others have been read.
	bool operator()(uint32_t slot)
	{
		if (count_ == into_.size() || reads_++ == 2 * into_.size())
			return false;
		connection &entry = into_[count_];
		if (bpf_map_lookup_elem_flags(fd_, &slot, &entry, BPF_F_LOCK)) {
			error_ = errno;
			return false;
		}
		if (entry.cookie && matches_(entry))
			count_++;
		return true;
	}

	// Throws if an entry could not be read.
	Napi::Value result(Napi::Env env, bool is_whole) const
	{
		if (error_)
			throw system_error(env, error_, "look up", "connections");
		Napi::Object result = Napi::Object::New(env);
		result.Set("count", Napi::Number::New(env, count_));
		result.Set("isCut", Napi::Boolean::New(env, !is_whole));
		return result;
	}

private:
	int fd_;
	std::span<connection> into_;
	Matches matches_;
	uint32_t count_ = 0;
	size_t reads_ = 0;
	int error_ = 0;
};

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

// refreshIndex(block, limitNs) -> the block to go on from; 0: the index is up to date
Napi::Value BpfObject::refresh_index(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const uint32_t block = uint32_of(env, info[0], "block");
	const uint32_t limit_ns = uint32_of(env, info[1], "limitNs");
	try {
		return Napi::Number::New(env, index(env).refresh(block, limit_ns));
	} catch (const std::bad_alloc &) {
		throw system_error(env, ENOMEM, "allocate", "the index of the connection table");
	}
}

// connectionsOfPeer(endpoint, into) -> {count, isCut}
Napi::Value BpfObject::connections_of_peer(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const endpoint peer = endpoint_of(env, info[0]);
	const std::span<connection> into = entries_of(env, info[1]);
	SlotIndex &slots = index(env);
	EntryReader reader(bpf_map__fd(skeleton()->maps.connections), into,
			   [&peer](const connection &entry) { return has_peer(entry, peer); });
	return reader.result(env, slots.each_of_peer(peer, std::ref(reader)));
}

// connectionsOfClient(endpoint, into) -> {count, isCut}
Napi::Value BpfObject::connections_of_client(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	const endpoint client = endpoint_of(env, info[0]);
	const std::span<connection> into = entries_of(env, info[1]);
	SlotIndex &slots = index(env);
	EntryReader reader(bpf_map__fd(skeleton()->maps.connections), into,
			   [&client](const connection &entry) { return has_client(entry, client); });
	return reader.result(env, slots.each_of_client(client, std::ref(reader)));
}

} // namespace toascope
