// SPDX-License-Identifier: Apache-2.0
// Maps: single entries, and whole tables in batches into buffers that the caller reuses. Values of per-CPU maps are records of
// 64-bit counters: JavaScript sees their sum over all CPUs, and that of a listener's rows.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "object.h"
#include "toascope.skel.h"
#include "../bpf/records.h"

namespace toascope
{
namespace
{

bool is_per_cpu(const bpf_map *map)
{
	return bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_HASH ||
	       bpf_map__type(map) == BPF_MAP_TYPE_PERCPU_ARRAY;
}

// What one value takes in user space: for a per-CPU map, one for each possible CPU.
size_t value_stride(const bpf_map *map)
{
	size_t size = bpf_map__value_size(map);
	return is_per_cpu(map) ? (size + 7) / 8 * 8 * libbpf_num_possible_cpus() : size;
}

// Adds the CPUs' values up, 64-bit word by word.
void sum_cpus(const uint8_t *values, size_t stride, size_t value_size, uint8_t *sum)
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

// The cursor of a batch has 4 bytes for hash tables, and more for others.
void require_hash(Napi::Env env, const bpf_map *map)
{
	if (bpf_map__type(map) != BPF_MAP_TYPE_HASH && bpf_map__type(map) != BPF_MAP_TYPE_PERCPU_HASH)
		throw system_error(env, EINVAL, "read the table", bpf_map__name(map));
}

} // namespace

// mapInfo(map) -> {keySize, valueSize, maxEntries}
Napi::Value BpfObject::map_info(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	Napi::Object result = Napi::Object::New(env);
	result.Set("keySize", bpf_map__key_size(of));
	result.Set("valueSize", bpf_map__value_size(of));
	result.Set("maxEntries", bpf_map__max_entries(of) / rows_of(of));
	return result;
}

// Values with a lock are copied under it.
uint64_t BpfObject::lock_flag(const bpf_map *map) const
{
	return map == skeleton_->maps.connections || map == skeleton_->maps.listeners ? BPF_F_LOCK : 0;
}

// How many entries of a map JavaScript sees as one.
uint32_t BpfObject::rows_of(const bpf_map *map) const
{
	return map == skeleton_->maps.listeners ? rows_ : 1;
}

// The sum of a listener's rows. Returns 0, or errno.
int BpfObject::sum_rows(uint32_t slot, uint8_t *sum)
{
	const bpf_map *of = skeleton_->maps.listeners;
	const size_t size = bpf_map__value_size(of);
	std::vector<uint8_t> rows(size * rows_);
	for (uint32_t row = 0; row < rows_; row++) {
		const uint32_t key = slot * rows_ + row;
		if (bpf_map_lookup_elem_flags(bpf_map__fd(of), &key, rows.data() + row * size, BPF_F_LOCK))
			return errno;
	}
	sum_cpus(rows.data(), rows.size(), size, sum);
	memset(sum, 0, sizeof(uint64_t)); // the lock
	return 0;
}

// lookup(map, key, value) -> found
Napi::Value BpfObject::lookup(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	const uint8_t *key = bytes_of(env, info[1], bpf_map__key_size(of), "key").Data();
	uint8_t *value = bytes_of(env, info[2], bpf_map__value_size(of), "value").Data();
	std::vector<uint8_t> cpus(is_per_cpu(of) ? value_stride(of) : 0);
	int error = 0;
	if (of == skeleton_->maps.listeners) {
		uint32_t slot;
		memcpy(&slot, key, sizeof(slot));
		error = sum_rows(slot, value);
	} else if (bpf_map_lookup_elem_flags(bpf_map__fd(of), key, cpus.empty() ? value : cpus.data(),
					     lock_flag(of))) {
		error = errno;
	}
	if (!error && !cpus.empty())
		sum_cpus(cpus.data(), cpus.size(), bpf_map__value_size(of), value);
	if (error && error != ENOENT)
		throw system_error(env, error, "lookup", bpf_map__name(of));
	return Napi::Boolean::New(env, !error);
}

// update(map, key, value, flags), of a listener's rows the first -> false where the flags forbid it or the map is full
Napi::Value BpfObject::update(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	const uint8_t *key = bytes_of(env, info[1], bpf_map__key_size(of), "key").Data();
	const uint8_t *value = bytes_of(env, info[2], bpf_map__value_size(of), "value").Data();
	std::vector<uint8_t> cpus(is_per_cpu(of) ? value_stride(of) : 0);
	if (!cpus.empty()) {
		memcpy(cpus.data(), value, bpf_map__value_size(of));
		value = cpus.data();
	}
	uint64_t flags = info[3].IsNumber() ? info[3].As<Napi::Number>().Uint32Value() : 0;
	uint32_t first_row;
	if (of == skeleton_->maps.listeners) {
		memcpy(&first_row, key, sizeof(first_row));
		first_row *= rows_;
		key = reinterpret_cast<const uint8_t *>(&first_row);
	}
	if (!bpf_map_update_elem(bpf_map__fd(of), key, value, flags))
		return Napi::Boolean::New(env, true);
	// a full hash says E2BIG, a full trie ENOSPC
	if (errno != EEXIST && errno != ENOENT && errno != E2BIG && errno != ENOSPC)
		throw system_error(env, errno, "update", bpf_map__name(of));
	return Napi::Boolean::New(env, false);
}

// updateAll(map, keys, values): entries of a hash map, one after the other
void BpfObject::update_all(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	require_hash(env, of);
	auto keys = bytes_of(env, info[1], 0, "keys");
	uint32_t count = keys.ByteLength() / bpf_map__key_size(of);
	const uint8_t *values = bytes_of(env, info[2], count * value_stride(of), "values").Data();
	LIBBPF_OPTS(bpf_map_batch_opts, options);

	if (bpf_map_update_batch(bpf_map__fd(of), keys.Data(), values, &count, &options))
		throw system_error(env, errno, "update", bpf_map__name(of));
}

// remove(map, key) -> was there
Napi::Value BpfObject::remove(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	const uint8_t *key = bytes_of(env, info[1], bpf_map__key_size(of), "key").Data();
	if (!bpf_map_delete_elem(bpf_map__fd(of), key))
		return Napi::Boolean::New(env, true);
	if (errno != ENOENT)
		throw system_error(env, errno, "delete", bpf_map__name(of));
	return Napi::Boolean::New(env, false);
}

// readAll(map, keys, values) -> entries read; both buffers must hold maxEntries of theirs
Napi::Value BpfObject::read_all(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	require_hash(env, of);
	const size_t key_size = bpf_map__key_size(of), value_size = bpf_map__value_size(of);
	const size_t stride = value_stride(of), capacity = bpf_map__max_entries(of);
	uint8_t *keys = bytes_of(env, info[1], key_size * capacity, "keys").Data();
	uint8_t *values = bytes_of(env, info[2], value_size * capacity, "values").Data();
	std::vector<uint8_t> cpus(is_per_cpu(of) ? stride * capacity : 0);
	uint8_t *raw = cpus.empty() ? values : cpus.data();
	size_t read = 0;
	uint32_t cursor = 0;

	for (bool first = true; read < capacity; first = false) {
		uint32_t count = capacity - read;
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		int error =
			bpf_map_lookup_batch(bpf_map__fd(of), first ? nullptr : &cursor, &cursor,
					     keys + read * key_size, raw + read * stride, &count, &options);
		if (error && errno != ENOENT)
			throw system_error(env, errno, "read", bpf_map__name(of));
		read += count;
		if (error)
			break;
	}
	if (!cpus.empty())
		for (size_t i = 0; i < read; i++)
			sum_cpus(raw + i * stride, stride, value_size, values + i * value_size);
	return Napi::Number::New(env, static_cast<double>(read));
}

// findPeer(endpoint) -> the places in the table of connections that may be the peer's
Napi::Value BpfObject::find_peer(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (!tags_)
		throw system_error(env, EBADF, "use", "a closed BPF object");
	endpoint peer;
	memcpy(&peer, bytes_of(env, info[0], sizeof(peer), "endpoint").Data(), sizeof(peer));
	const std::vector<uint32_t> found = tags_->find(peer);
	auto places = Napi::Uint32Array::New(env, found.size());
	std::ranges::copy(found, places.Data());
	return places;
}

// count(map) -> entries of a hash map, or of the table of connections
Napi::Value BpfObject::count(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	if (of == skeleton_->maps.connections)
		return Napi::Number::New(env, static_cast<double>(tags_->used()));
	require_hash(env, of);
	const size_t batch = std::min<size_t>(bpf_map__max_entries(of), 4096);
	std::vector<uint8_t> keys(batch * bpf_map__key_size(of)), values(batch * value_stride(of));
	double total = 0;
	uint32_t cursor = 0;

	for (bool first = true;; first = false) {
		uint32_t got = batch;
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		int error = bpf_map_lookup_batch(bpf_map__fd(of), first ? nullptr : &cursor, &cursor,
						 keys.data(), values.data(), &got, &options);
		if (error && errno != ENOENT)
			throw system_error(env, errno, "count", bpf_map__name(of));
		total += got;
		if (error)
			return Napi::Number::New(env, total);
	}
}

} // namespace toascope
