// SPDX-License-Identifier: Apache-2.0
#include "peer_hashes.h"

#include <bpf/bpf.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <span>

#include "../bpf/records.h"

namespace toascope
{

namespace
{

// Returns the key of peer_hash(), and generates it if there is none yet. Returns 0 and sets errno
// on failure. The hashes outlive a daemon, and so does the key.
uint64_t peer_key(int meta_fd)
{
	const uint32_t entry = META_PEER_HASH_KEY;
	uint64_t key = 0;
	if (bpf_map_lookup_elem(meta_fd, &entry, &key) || key)
		return key;
	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return 0;
	key |= 1;
	return bpf_map_update_elem(meta_fd, &entry, &key, BPF_ANY) ? 0 : key;
}

} // namespace

std::unique_ptr<PeerHashes> PeerHashes::open(int hashes_fd, size_t lines, int meta_fd)
{
	const uint64_t key = peer_key(meta_fd);
	if (!key)
		return nullptr;
	const size_t page = sysconf(_SC_PAGESIZE);
	const size_t bytes = (lines * sizeof(hash_line) + page - 1) / page * page;
	void *memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, hashes_fd, 0);
	if (memory == MAP_FAILED)
		return nullptr;
	return std::unique_ptr<PeerHashes>(
		new PeerHashes(static_cast<const hash_line *>(memory), lines, bytes, key));
}

PeerHashes::~PeerHashes()
{
	munmap(const_cast<hash_line *>(lines_), bytes_);
}

std::vector<uint32_t> PeerHashes::find(const endpoint &peer) const
{
	const uint32_t wanted = peer_hash(&peer, key_);
	std::vector<uint32_t> slots;
	for (size_t line = 0; line < count_; line++) {
		// no branch for each hash: the compiler compares several at once
		const std::span hashes(lines_[line].hashes);
		uint32_t any = 0;
		for (uint32_t hash : hashes)
			any |= hash == wanted;
		if (!any)
			continue;
		for (size_t i = 0; i < hashes.size(); i++)
			if (hashes[i] == wanted)
				slots.push_back(line * hashes.size() + i);
	}
	return slots;
}

size_t PeerHashes::used() const
{
	size_t used = 0;
	for (const hash_line &line : std::span(lines_, count_))
		used += std::ranges::count_if(line.hashes, [](uint32_t hash) { return hash != 0; });
	return used;
}

} // namespace toascope
