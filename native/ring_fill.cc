// SPDX-License-Identifier: Apache-2.0
#include "ring_fill.h"

#include <sys/mman.h>
#include <unistd.h>

namespace toascope
{
namespace
{

const unsigned long *map_page(int fd, size_t page, size_t index)
{
	void *address = mmap(nullptr, page, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(index * page));

	return address == MAP_FAILED ? nullptr : static_cast<const unsigned long *>(address);
}

void unmap_page(const unsigned long *position, size_t page)
{
	if (position)
		munmap(const_cast<unsigned long *>(position), page);
}

} // namespace

std::unique_ptr<RingFill> RingFill::open(int map_fd, size_t size)
{
	const auto page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
	std::unique_ptr<RingFill> fill(
		new RingFill(map_page(map_fd, page, 0), map_page(map_fd, page, 1), page, size));

	if (!fill->consumer_ || !fill->producer_)
		return nullptr;
	return fill;
}

RingFill::RingFill(const unsigned long *consumer, const unsigned long *producer, size_t page, size_t size)
	: consumer_(consumer), producer_(producer), page_(page), size_(size)
{
}

RingFill::~RingFill()
{
	unmap_page(consumer_, page_);
	unmap_page(producer_, page_);
}

double RingFill::share() const
{
	// the consumer's first: the producer is never behind it
	const unsigned long consumer = __atomic_load_n(consumer_, __ATOMIC_ACQUIRE);
	const unsigned long producer = __atomic_load_n(producer_, __ATOMIC_ACQUIRE);

	return static_cast<double>(producer - consumer) / static_cast<double>(size_);
}

} // namespace toascope
