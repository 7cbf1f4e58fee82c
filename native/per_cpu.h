// SPDX-License-Identifier: Apache-2.0
// Values of per-CPU maps are records of 64-bit counters: JavaScript sees their sum over all CPUs.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cstdint>
#include <cstring>

namespace toascope
{

inline bool is_per_cpu(const bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_HASH ||
	       bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY;
}

// The size of one value in user space, in bytes: the value of a per-CPU map has a part for each
// possible CPU.
inline size_t value_stride(const bpf_map *map)
{
	size_t size = bpf_map__value_size(map);
	return is_per_cpu(map) ? (size + 7) / 8 * 8 * libbpf_num_possible_cpus() : size;
}

// Adds up the values of all CPUs, 64-bit word by word.
inline void sum_cpus(const uint8_t *values, size_t stride, size_t value_size, uint8_t *sum)
{
	for (size_t at = 0; at + 8 <= value_size; at += 8) {
		uint64_t total = 0;
		for (size_t cpu = at; cpu < stride; cpu += (value_size + 7) / 8 * 8) {
			uint64_t one;
			memcpy(&one, values + cpu, sizeof(one));
			total += one;
		}
		memcpy(sum + at, &total, sizeof(total));
	}
}

} // namespace toascope
