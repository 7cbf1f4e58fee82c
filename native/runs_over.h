// SPDX-License-Identifier: Apache-2.0
// Waits until every run of a BPF program that had begun is over, on all CPUs.
#pragma once

#include <memory>

#include "handles.h"

namespace toascope
{

/*
 * A map in a map of maps is exchanged for itself: the kernel answers when no program can use the old one any more
 * (maybe_wait_bpf_programs() in kernel/bpf/syscall.c, synchronize_rcu() there since 4.19).
 */
class RunsOver
{
public:
	// Null on failure; errno tells.
	static std::shared_ptr<RunsOver> create();
	// Blocks for some milliseconds. Returns an errno, or 0.
	int wait() const;

private:
	Fd inner_;
	Fd outer_;
};

} // namespace toascope
