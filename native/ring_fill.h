// SPDX-License-Identifier: Apache-2.0
// How full the ring is: libbpf shows that only since version 1.3.
#pragma once

#include <cstddef>
#include <memory>

namespace toascope
{

// The positions of the consumer and of the producer of a BPF_MAP_TYPE_RINGBUF, which the kernel lets
// processes map (kernel/bpf/ringbuf.c).
class RingFill
{
public:
	// Returns nullptr, and sets errno, if the kernel refuses it.
	static std::unique_ptr<RingFill> open(int map_fd, size_t size);

	RingFill(const RingFill &) = delete;
	RingFill &operator=(const RingFill &) = delete;
	~RingFill();

	// The part of the ring that is in use, from 0 to 1.
	double share() const;

private:
	RingFill(const unsigned long *consumer, const unsigned long *producer, size_t page, size_t size);

	const unsigned long *consumer_;
	const unsigned long *producer_;
	size_t page_;
	size_t size_;
};

} // namespace toascope
