// SPDX-License-Identifier: Apache-2.0
#include "slot_index.h"

#include <bpf/bpf.h>
#include <sys/random.h>
#include <time.h>

#include <algorithm>
#include <bit>
#include <new>

#include "../bpf/records.h"

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

// The part of a client's hash that does not depend on its port.
uint32_t of_address(uint32_t hash)
{
	return hash >> CLIENT_PORT_BITS;
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
	if (!peers_.allocate(slots_) || !clients_.allocate(slots_))
		return false;
	blocks_.resize(marks_.size());
	known_ = zeroes<slot_hashes>(slots_);
	return known_ != nullptr;
}

bool SlotIndex::refresh(size_t max_blocks)
{
	if (!allocate())
		throw std::bad_alloc();
	const uint64_t now_ns = monotonic_ns();
	size_t read = 0;
	for (size_t i = 0; i < blocks_.size(); i++) {
		Block &block = blocks_[i];
		const uint64_t mark = __atomic_load_n(&marks_[i], __ATOMIC_ACQUIRE);
		const bool changed = mark != block.mark;
		if (!changed && !block.seen_ns)
			continue;
		if (read++ == max_blocks)
			return false;
		read_block(i);
		if (changed)
			block = { mark, now_ns };
		else if (now_ns - block.seen_ns >= settle_ns)
			block.seen_ns = 0;
	}
	return true;
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
	if (known.client)
		clients_.remove(slot, of_address(known.client));
	known = now;
	if (known.peer)
		peers_.add(slot, known.peer >> 1);
	if (known.client)
		clients_.add(slot, of_address(known.client));
}

std::vector<uint32_t> SlotIndex::of_peer(const endpoint &peer) const
{
	const uint32_t wanted = peer_hash(&peer, key_);
	std::vector<uint32_t> slots;
	for (uint32_t at = peers_.heads[(wanted >> 1) & peers_.mask]; at; at = peers_.next[at - 1])
		if (known_[at - 1].peer == wanted)
			slots.push_back(at - 1);
	return slots;
}

std::vector<uint32_t> SlotIndex::of_client(const endpoint &client, size_t limit) const
{
	const uint32_t wanted = client_hash(client.address, client.family, client.port, key_);
	const uint32_t portless = client_hash(client.address, client.family, 0, key_);
	std::vector<uint32_t> slots;
	uint32_t at = clients_.heads[of_address(wanted) & clients_.mask];
	for (; at && slots.size() < limit; at = clients_.next[at - 1]) {
		const uint32_t hash = known_[at - 1].client;
		if (client.port ? hash == wanted || hash == portless : of_address(hash) == of_address(wanted))
			slots.push_back(at - 1);
	}
	return slots;
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
