// SPDX-License-Identifier: Apache-2.0
#include "slot_index.h"

#include <bpf/bpf.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

namespace toascope
{

namespace
{

// A processor with weakly ordered stores can show a mark before the hash that was written before it.
// A block is read again until its mark has been the same for this time.
constexpr uint64_t settle_ns = 1'000'000;

uint64_t monotonic_ns()
{
	timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1'000'000'000ULL + now.tv_nsec;
}

// Returns the key of the hashes, and generates it if there is none yet. Returns 0 and sets errno on
// failure. The hashes outlive a daemon, and so does the key.
uint64_t hash_key(int meta_fd)
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

// Pages that were never written use no memory.
template <typename T>
auto zeroes(size_t count)
{
	return std::unique_ptr<T[], decltype(&free)>(static_cast<T *>(calloc(count, sizeof(T))), &free);
}

} // namespace

std::unique_ptr<SlotIndex> SlotIndex::open(int hashes_fd, int marks_fd, int meta_fd, size_t slots)
{
	const uint64_t key = hash_key(meta_fd);
	if (!key)
		return nullptr;
	MappedArray<hash_line> lines(hashes_fd, (slots + HASHES_PER_LINE - 1) / HASHES_PER_LINE);
	MappedArray<uint64_t> marks(marks_fd, (slots + SLOTS_PER_BLOCK - 1) / SLOTS_PER_BLOCK);
	if (!lines || !marks)
		return nullptr;
	return std::unique_ptr<SlotIndex>(new SlotIndex(std::move(lines), std::move(marks), slots, key));
}

SlotIndex::SlotIndex(MappedArray<hash_line> lines, MappedArray<uint64_t> marks, size_t slots, uint64_t key)
	: lines_(std::move(lines)), marks_(std::move(marks)), slots_(slots), key_(key)
{
}

bool SlotIndex::Lists::allocate(size_t slots)
{
	const size_t buckets = std::bit_ceil(slots);
	heads = zeroes<uint32_t>(buckets);
	next = zeroes<uint32_t>(slots);
	previous = zeroes<uint32_t>(slots);
	mask = buckets - 1;
	return heads && next && previous;
}

void SlotIndex::Lists::add(uint32_t slot, uint32_t bucket)
{
	uint32_t &head = heads[bucket & mask];
	if (head)
		previous[head - 1] = slot + 1;
	next[slot] = head;
	previous[slot] = 0;
	head = slot + 1;
}

void SlotIndex::Lists::remove(uint32_t slot, uint32_t bucket)
{
	if (previous[slot])
		next[previous[slot] - 1] = next[slot];
	else
		heads[bucket & mask] = next[slot];
	if (next[slot])
		previous[next[slot] - 1] = previous[slot];
}

bool SlotIndex::allocate()
{
	if (known_)
		return true;
	if (!peers_.allocate(slots_) || !addresses_.allocate(slots_) || !endpoints_.allocate(slots_))
		return false;
	blocks_.resize(marks_.size());
	known_ = zeroes<slot_hashes>(slots_);
	return known_ != nullptr;
}

size_t SlotIndex::refresh(size_t block, uint64_t limit_ns)
{
	if (!allocate())
		throw std::bad_alloc();
	const uint64_t began_ns = monotonic_ns();
	for (size_t i = block; i < blocks_.size(); i++) {
		Block &known = blocks_[i];
		const uint64_t mark = __atomic_load_n(&marks_[i], __ATOMIC_ACQUIRE);
		const bool changed = mark != known.mark;
		if (!changed && !known.seen_ns)
			continue;
		const uint64_t now_ns = monotonic_ns();
		if (i > block && now_ns - began_ns > limit_ns)
			return i;
		read_block(i);
		if (changed)
			known = { mark, now_ns };
		else if (now_ns - known.seen_ns >= settle_ns)
			known.seen_ns = 0;
	}
	return 0;
}

void SlotIndex::read_block(size_t block)
{
	const size_t end = std::min(slots_, (block + 1) * SLOTS_PER_BLOCK);
	for (size_t slot = block * SLOTS_PER_BLOCK; slot < end; slot++) {
		const slot_hashes &hashes = lines_[slot / HASHES_PER_LINE].slots[slot % HASHES_PER_LINE];
		const slot_hashes now = {
			__atomic_load_n(&hashes.peer, __ATOMIC_RELAXED),
			__atomic_load_n(&hashes.client, __ATOMIC_RELAXED),
		};
		if (now.peer != known_[slot].peer || now.client != known_[slot].client)
			update(slot, now);
	}
}

void SlotIndex::update(uint32_t slot, const slot_hashes &now)
{
	slot_hashes &known = known_[slot];
	if (known.peer)
		peers_.remove(slot, known.peer >> 1);
	if (known.client) {
		addresses_.remove(slot, of_address(known.client));
		endpoints_.remove(slot, known.client);
	}
	known = now;
	if (known.peer)
		peers_.add(slot, known.peer >> 1);
	if (known.client) {
		addresses_.add(slot, of_address(known.client));
		endpoints_.add(slot, known.client);
	}
}

uint32_t SlotIndex::hash_of_peer(const endpoint &peer) const
{
	return peer_hash(&peer, key_);
}

uint32_t SlotIndex::hash_of_client(const endpoint &endpoint) const
{
	toa_client client = {};
	memcpy(client.address, endpoint.address, sizeof(client.address));
	client.family = endpoint.family;
	client.port = endpoint.port;
	return client_hash(&client, 0, key_);
}

size_t SlotIndex::used() const
{
	size_t used = 0;
	for (size_t i = 0; i < lines_.size(); i++)
		used += std::ranges::count_if(lines_[i].slots,
					      [](const slot_hashes &one) { return one.peer != 0; });
	return used;
}

} // namespace toascope
