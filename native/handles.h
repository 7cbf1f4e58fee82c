// SPDX-License-Identifier: Apache-2.0
// Owners of kernel and libbpf handles: move-only, and closed once.
#pragma once

#include <bpf/libbpf.h>
#include <unistd.h>

#include <memory>
#include <utility>

namespace toascope
{

class Fd
{
public:
	Fd() = default;
	explicit Fd(int fd) : fd_(fd)
	{
	}
	Fd(Fd &&other) noexcept : fd_(std::exchange(other.fd_, -1))
	{
	}
	Fd &operator=(Fd &&other) noexcept
	{
		reset(std::exchange(other.fd_, -1));
		return *this;
	}
	Fd(const Fd &) = delete;
	Fd &operator=(const Fd &) = delete;
	~Fd()
	{
		reset();
	}

	int get() const
	{
		return fd_;
	}
	explicit operator bool() const
	{
		return fd_ >= 0;
	}
	void reset(int fd = -1)
	{
		if (fd_ >= 0)
			close(fd_);
		fd_ = fd;
	}

private:
	int fd_ = -1;
};

struct LinkDeleter {
	// A pinned link stays attached: only the file descriptor is closed.
	void operator()(bpf_link *link) const
	{
		bpf_link__destroy(link);
	}
};
using Link = std::unique_ptr<bpf_link, LinkDeleter>;

struct RingDeleter {
	void operator()(ring_buffer *ring) const
	{
		ring_buffer__free(ring);
	}
};
using Ring = std::unique_ptr<ring_buffer, RingDeleter>;

} // namespace toascope
