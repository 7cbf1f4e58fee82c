// SPDX-License-Identifier: Apache-2.0
#include "peer_tags.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <span>

#include "../bpf/records.h"

namespace toascope
{

std::unique_ptr<PeerTags> PeerTags::map(int map_fd, size_t lines)
{
	const size_t page = sysconf(_SC_PAGESIZE);
	const size_t bytes = (lines * sizeof(tag_line) + page - 1) / page * page;
	void *memory = mmap(nullptr, bytes, PROT_READ, MAP_SHARED, map_fd, 0);
	if (memory == MAP_FAILED)
		return nullptr;
	return std::unique_ptr<PeerTags>(new PeerTags(static_cast<const tag_line *>(memory), lines, bytes));
}

PeerTags::~PeerTags()
{
	munmap(const_cast<tag_line *>(lines_), bytes_);
}

std::vector<uint32_t> PeerTags::find(const endpoint &peer) const
{
	const uint32_t wanted = peer_tag(&peer);
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
