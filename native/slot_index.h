// SPDX-License-Identifier: Apache-2.0
// An index of the connection table: which slots can have connections of a peer, or of a client. The
// kernel's hashes are mapped into this process. Only blocks whose change mark is another than it was
// are read again (bpf/hashes.h), so a lookup costs the same in a table of any size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <vector>

#include "../bpf/records.h"
#include "mapped_array.h"

namespace toascope
{

class SlotIndex
{
public:
	// Generates the key of the hashes if the map `meta` has none yet. Returns null and sets errno
	// if a map cannot be mapped, or the key cannot be read or written. `slots`: of the table.
	static std::unique_ptr<SlotIndex> open(int hashes_fd, int marks_fd, int meta_fd, size_t slots);

	// Reads the blocks that have changed, from `block` on, for at most `limit_ns`. Returns the block
	// to go on from, or 0 at the end. After a pass from 0 to the end, connections that opened before
	// it are found. The memory of the index, up to 44 bytes for each slot of the table, is allocated
	// by the first call.
	size_t refresh(size_t block, uint64_t limit_ns);

	// Calls visit(slot) for the slots whose hash is the peer's, until it returns false: those of all
	// of its connections, and once in billions one of another peer. The slot that changed last comes
	// first. Returns false if there can be more.
	template <typename Visit>
	bool each_of_peer(const endpoint &peer, Visit visit) const
	{
		const uint32_t wanted = hash_of_peer(peer);
		return peers_.each(wanted >> 1,
				   [&](uint32_t slot) { return known_[slot].peer != wanted || visit(slot); });
	}

	// The same for a client; port 0: any. Without a port, one in a million is another client's.
	template <typename Visit>
	bool each_of_client(const endpoint &client, Visit visit) const
	{
		const uint32_t wanted = hash_of_client(client);
		if (client.port)
			return endpoints_.each(wanted, [&](uint32_t slot) {
				return known_[slot].client != wanted || visit(slot);
			});
		return addresses_.each(of_address(wanted), [&](uint32_t slot) {
			return of_address(known_[slot].client) != of_address(wanted) || visit(slot);
		});
	}

	// Returns the number of slots that have, or had, a connection.
	size_t used() const;

private:
	// Slots of a list that a lookup follows at most: some 0.5 ms.
	static constexpr size_t steps_max = 65'536;

	// The slots of each bucket, as a list. Numbers of slots are one more than the slot: 0 is none.
	struct Lists {
		std::unique_ptr<uint32_t[], decltype(&free)> heads{ nullptr, &free };
		std::unique_ptr<uint32_t[], decltype(&free)> next{ nullptr, &free };
		std::unique_ptr<uint32_t[], decltype(&free)> previous{ nullptr, &free };
		uint32_t mask = 0;

		bool allocate(size_t slots);
		void add(uint32_t slot, uint32_t bucket);
		void remove(uint32_t slot, uint32_t bucket);

		template <typename Visit>
		bool each(uint32_t bucket, Visit visit) const
		{
			size_t steps = 0;
			for (uint32_t at = heads[bucket & mask]; at; at = next[at - 1])
				if (++steps > steps_max || !visit(at - 1))
					return false;
			return true;
		}
	};
	struct Block {
		uint64_t mark = 0;
		// When the mark was first seen (CLOCK_MONOTONIC); 0: everything before it is read.
		uint64_t seen_ns = 0;
	};

	SlotIndex(MappedArray<hash_line> lines, MappedArray<uint64_t> marks, size_t slots, uint64_t key);
	// The part of a client's hash that does not depend on its port.
	static uint32_t of_address(uint32_t hash)
	{
		return hash >> CLIENT_PORT_BITS;
	}
	uint32_t hash_of_peer(const endpoint &peer) const;
	uint32_t hash_of_client(const endpoint &client) const;
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
	Lists addresses_; // of clients
	Lists endpoints_; // addresses and ports of clients
};

} // namespace toascope
