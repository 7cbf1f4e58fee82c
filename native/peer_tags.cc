// SPDX-License-Identifier: Apache-2.0
#include "peer_tags.h"

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

// The key of peer_tag(), drawn by the first who asks; 0 and errno: there is none. Tags outlive a daemon, and so does it.
uint64_t peer_key(int ledger_fd)
{
	const uint32_t entry = LEDGER_PEER_KEY;
	uint64_t key = 0;
	if (bpf_map_lookup_elem(ledger_fd, &entry, &key) || key)
		return key;
	if (getrandom(&key, sizeof(key), 0) != sizeof(key))
		return 0;
	key |= 1;
	return bpf_map_update_elem(ledger_fd, &entry, &key, BPF_ANY) ? 0 : key;
}

} // namespace

std::unique_ptr<PeerTags> PeerTags::map(int tags_fd, size_t lines, int ledger_fd)
{
	const uint64_t key = peer_key(ledger_fd);
	if (!key)
		return nullptr;
	const size_t page = sysconf(_SC_PAGESIZE);
	const size_t bytes = (lines * sizeof(tag_line) + page - 1) / page * page;
	void *memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, tags_fd, 0);
	if (memory == MAP_FAILED)
		return nullptr;
	return std::unique_ptr<PeerTags>(
		new PeerTags(static_cast<const tag_line *>(memory), lines, bytes, key));
}

PeerTags::~PeerTags()
{
	munmap(const_cast<tag_line *>(lines_), bytes_);
}

std::vector<uint32_t> PeerTags::find(const endpoint &peer) const
{
	const uint32_t wanted = peer_tag(&peer, key_);
	std::vector<uint32_t> places;
	for (size_t line = 0; line < count_; line++) {
		// no branch for each tag: the compiler compares several at once
		const std::span tags(lines_[line].tags);
		uint32_t any = 0;
		for (uint32_t tag : tags)
			any |= tag == wanted;
		if (!any)
			continue;
		for (size_t i = 0; i < tags.size(); i++)
			if (tags[i] == wanted)
				places.push_back(line * tags.size() + i);
	}
	return places;
}

size_t PeerTags::used() const
{
	size_t used = 0;
	for (const tag_line &line : std::span(lines_, count_))
		used += std::ranges::count_if(line.tags, [](uint32_t tag) { return tag != 0; });
	return used;
}

} // namespace toascope
