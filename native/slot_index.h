// SPDX-License-Identifier: Apache-2.0
// An index of the connection table: which slots can have connections of a peer, or of a client. The
// kernel's hashes are mapped into this process. Only blocks whose change mark is another than it was
// are read again (bpf/hashes.h), so a lookup costs the same in a table of any size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "mapped_array.h"

struct endpoint;
struct hash_line;
struct slot_hashes;

namespace toascope
{

class SlotIndex
{
public:
	// Generates the key of the hashes if the map `meta` has none yet. Returns null and sets errno
	// if a map cannot be mapped, or the key cannot be read or written. `slots`: of the table.
	static std::unique_ptr<SlotIndex> open(int hashes_fd, int marks_fd, int meta_fd, size_t slots);

	// Reads the blocks that have changed, at most `max_blocks` of them. Returns false if there are
	// more; if not, connections that opened before the call are found. The memory of the index, 28
	// bytes for each slot in use, is allocated by the first call.
	bool refresh(size_t max_blocks);

	// Returns the slots whose hash is the peer's, the last one that changed first: those of all of
	// its connections, and once in billions one of another peer.
	std::vector<uint32_t> of_peer(const endpoint &peer) const;

	// Returns the same for a client, at most `limit` slots; one in a million is another client's.
	// Port 0: any. With a port, those without one are included.
	std::vector<uint32_t> of_client(const endpoint &client, size_t limit) const;

	// Returns the number of slots that have, or had, a connection.
	size_t used() const;

private:
	// The slots of each bucket, as a list. Numbers of slots are one more than the slot: 0 is none.
	struct Lists {
		std::unique_ptr<uint32_t[], decltype(&free)> heads{ nullptr, &free };
		std::unique_ptr<uint32_t[], decltype(&free)> next{ nullptr, &free };
		std::unique_ptr<uint32_t[], decltype(&free)> previous{ nullptr, &free };
		uint32_t mask = 0;

		bool allocate(size_t slots);
		void add(uint32_t slot, uint32_t bucket);
		void remove(uint32_t slot, uint32_t bucket);
	};
	struct Block {
		uint64_t mark = 0;
		// When the mark was first seen (CLOCK_MONOTONIC); 0: everything before it is read.
		uint64_t seen_ns = 0;
	};

	SlotIndex(MappedArray<hash_line> lines, MappedArray<uint64_t> marks, size_t slots, uint64_t key);
	bool allocate();
	void read_block(size_t block);
	void update(uint32_t slot, const slot_hashes &now);

	MappedArray<hash_line> lines_;
	MappedArray<uint64_t> marks_;
	size_t slots_;
	uint64_t key_;
	std::vector<Block> blocks_;
	// The hashes by which the slots are in the lists; null until the first refresh.
	std::unique_ptr<slot_hashes[], decltype(&free)> known_{ nullptr, &free };
	Lists peers_;
	Lists clients_;
};

} // namespace toascope
