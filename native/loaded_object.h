// SPDX-License-Identifier: Apache-2.0
// The state that a BPF object shares with the handles of its maps. A handle that outlives its
// object finds it closed.
#pragma once

#include <napi.h>

#include <cstdint>
#include <memory>

#include "slot_index.h"

struct bpf_map;
struct toascope_bpf;

namespace toascope
{

struct LoadedObject {
	// Null once the object is closed.
	toascope_bpf *skeleton = nullptr;
	// The rows of counters of each listener, in the map `listeners`.
	uint32_t rows = 1;
	std::unique_ptr<SlotIndex> index;
};

// Throws EBADF if the object is closed, and ENOENT if it has no map of that name. In map.cc.
bpf_map *find_map(Napi::Env env, const LoadedObject &object, const Napi::Value &name);

} // namespace toascope
