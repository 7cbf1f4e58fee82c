// SPDX-License-Identifier: Apache-2.0
// The hashes of the connection table, mapped into this process: they say which slots can have
// connections of a peer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

struct endpoint;
struct hash_line;

namespace toascope
{

class PeerHashes
{
public:
	// Generates the key of peer_hash() if the map `meta` has none yet. Returns null and sets
	// errno if the map cannot be mapped, or the key cannot be read or written.
	static std::unique_ptr<PeerHashes> open(int hashes_fd, size_t lines, int meta_fd);
	~PeerHashes();
	PeerHashes(const PeerHashes &) = delete;
	PeerHashes &operator=(const PeerHashes &) = delete;

	// Returns the slots whose hash is the peer's: those of all of its connections, and once in
	// billions one of another peer.
	std::vector<uint32_t> find(const endpoint &peer) const;

	// Returns the number of slots that have, or had, a connection.
	size_t used() const;

private:
	PeerHashes(const hash_line *lines, size_t count, size_t bytes, uint64_t key)
		: lines_(lines), count_(count), bytes_(bytes), key_(key)
	{
	}

	const hash_line *lines_;
	size_t count_;
	size_t bytes_;
	uint64_t key_;
};

} // namespace toascope
