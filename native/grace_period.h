// SPDX-License-Identifier: Apache-2.0
// Waits for an RCU grace period: when it returns, every BPF program run that had already started
// has ended.
#pragma once

#include <memory>

#include "handles.h"

namespace toascope
{

/*
 * Replaces a map in a map of maps by itself: the system call returns when no program can use the
 * old one any more (maybe_wait_bpf_programs() in kernel/bpf/syscall.c, synchronize_rcu() there
 * since 4.19).
 */
class GracePeriod
{
public:
	// Returns null and sets errno on failure.
	static std::shared_ptr<GracePeriod> create();
	// Blocks for some milliseconds. Returns 0, or errno.
	int synchronize() const;

private:
	Fd inner_;
	Fd outer_;
};

} // namespace toascope
