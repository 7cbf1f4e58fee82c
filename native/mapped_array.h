// SPDX-License-Identifier: Apache-2.0
// The values of an array map that has BPF_F_MMAPABLE, mapped read-only into this process.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <utility>

namespace toascope
{

template <typename T>
class MappedArray
{
public:
	// Check operator bool: false if the map cannot be mapped, and errno is set.
	MappedArray(int fd, size_t count) : count_(count), bytes_(bytes_of(count))
	{
		void *memory = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd, 0);
		values_ = memory == MAP_FAILED ? nullptr : static_cast<const T *>(memory);
	}
	MappedArray(MappedArray &&other) noexcept
		: values_(std::exchange(other.values_, nullptr)), count_(other.count_), bytes_(other.bytes_)
	{
	}
	MappedArray &operator=(MappedArray &&) = delete;
	~MappedArray()
	{
		if (values_)
			munmap(const_cast<T *>(values_), bytes_);
	}

	explicit operator bool() const
	{
		return values_;
	}
	const T &operator[](size_t index) const
	{
		return values_[index];
	}
	size_t size() const
	{
		return count_;
	}

private:
	static size_t bytes_of(size_t count)
	{
		const size_t page = sysconf(_SC_PAGESIZE);
		return (count * sizeof(T) + page - 1) / page * page;
	}

	const T *values_;
	size_t count_;
	size_t bytes_;
};

} // namespace toascope
