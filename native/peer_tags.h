// SPDX-License-Identifier: Apache-2.0
// The tags of the table of connections, in this process's memory: which places may be a peer's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

struct endpoint;
struct tag_line;

namespace toascope
{

class PeerTags
{
public:
	// Draws the key of peer_tag() where the ledger has none yet. Null, and errno: the map cannot be mapped.
	static std::unique_ptr<PeerTags> map(int tags_fd, size_t lines, int ledger_fd);
	~PeerTags();
	PeerTags(const PeerTags &) = delete;
	PeerTags &operator=(const PeerTags &) = delete;

	// Places whose tag is the peer's: all of its connections, and once in billions another's.
	std::vector<uint32_t> find(const endpoint &peer) const;

	// Places that have, or had, a connection.
	size_t used() const;

private:
	PeerTags(const tag_line *lines, size_t count, size_t bytes, uint64_t key)
		: lines_(lines), count_(count), bytes_(bytes), key_(key)
	{
	}

	const tag_line *lines_;
	size_t count_;
	size_t bytes_;
	uint64_t key_;
};

} // namespace toascope
