// SPDX-License-Identifier: Apache-2.0
// Reads whole tables in batches, into buffers that the caller reuses.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "map.h"
#include "per_cpu.h"
#include "skeleton.h"

namespace toascope
{
namespace
{

// Throws if a map is not a hash table: the cursor of a batch has 4 bytes for hash tables, and more
// for other maps.
void require_hash(Napi::Env env, const bpf_map *map)
{
	if (bpf_map__type(map) != BPF_MAP_TYPE_HASH && bpf_map__type(map) != BPF_MAP_TYPE_PERCPU_HASH)
		throw system_error(env, EINVAL, "read the table", bpf_map__name(map));
}

} // namespace

// readAll(keys, values) -> the number of entries read; both buffers must have room for maxEntries
Napi::Value BpfMap::read_all(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	require_hash(env, target);
	const size_t key_size = bpf_map__key_size(target), value_size = bpf_map__value_size(target);
	const size_t stride = value_stride(target), capacity = bpf_map__max_entries(target);
	uint8_t *keys = bytes_of(env, info[0], key_size * capacity, "keys").Data();
	uint8_t *values = bytes_of(env, info[1], value_size * capacity, "values").Data();
	std::vector<uint8_t> cpus(is_per_cpu(target) ? stride * capacity : 0);
	uint8_t *raw = cpus.empty() ? values : cpus.data();
	size_t read = 0;
	uint32_t cursor = 0;

	for (bool first = true; read < capacity; first = false) {
		uint32_t count = capacity - read;
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		int error =
			bpf_map_lookup_batch(bpf_map__fd(target), first ? nullptr : &cursor, &cursor,
					     keys + read * key_size, raw + read * stride, &count, &options);
		if (error && errno != ENOENT)
			throw system_error(env, errno, "read", bpf_map__name(target));
		read += count;
		if (error)
			break;
	}
	if (!cpus.empty())
		for (size_t i = 0; i < read; i++)
			sum_cpus(raw + i * stride, stride, value_size, values + i * value_size);
	return Napi::Number::New(env, static_cast<double>(read));
}

/*
 * readPage(keys, values, from) -> {entries, next}
 *
 * The kernel copies whole buckets, each under its lock, and its cursor is the number of a bucket.
 * An entry never moves to another bucket: one that exists from the first page to the last is read
 * exactly once, any other at most once.
 */
Napi::Value BpfMap::read_page(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	if (bpf_map__type(target) != BPF_MAP_TYPE_HASH)
		throw system_error(env, EINVAL, "read a page", bpf_map__name(target));
	const size_t key_size = bpf_map__key_size(target), value_size = bpf_map__value_size(target);
	auto keys = bytes_of(env, info[0], key_size, "keys");
	auto values = bytes_of(env, info[1], value_size, "values");
	const bool begin = !info[2].IsNumber();
	uint32_t cursor = begin ? 0 : info[2].As<Napi::Number>().Uint32Value();
	uint32_t count = std::min(keys.ByteLength() / key_size, values.ByteLength() / value_size);
	LIBBPF_OPTS(bpf_map_batch_opts, options);

	int error = bpf_map_lookup_batch(bpf_map__fd(target), begin ? nullptr : &cursor, &cursor, keys.Data(),
					 values.Data(), &count, &options);
	// ENOENT: that was the last bucket
	if (error && errno != ENOENT)
		throw system_error(env, errno, "read a page", bpf_map__name(target));
	Napi::Object page = Napi::Object::New(env);
	page.Set("entries", count);
	page.Set("next", error ? env.Undefined() : Napi::Number::New(env, cursor));
	return page;
}

// count() -> the number of entries of a hash map, or of used slots of the connection table
Napi::Value BpfMap::count(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	if (target == object_->skeleton->maps.connections)
		return Napi::Number::New(env, static_cast<double>(object_->index->used()));
	require_hash(env, target);
	const size_t batch = std::min<size_t>(bpf_map__max_entries(target), 4096);
	std::vector<uint8_t> keys(batch * bpf_map__key_size(target)), values(batch * value_stride(target));
	double total = 0;
	uint32_t cursor = 0;

	for (bool first = true;; first = false) {
		uint32_t got = batch;
		LIBBPF_OPTS(bpf_map_batch_opts, options);
		int error = bpf_map_lookup_batch(bpf_map__fd(target), first ? nullptr : &cursor, &cursor,
						 keys.data(), values.data(), &got, &options);
		if (error && errno != ENOENT)
			throw system_error(env, errno, "count", bpf_map__name(target));
		total += got;
		if (error)
			return Napi::Number::New(env, total);
	}
}

} // namespace toascope
