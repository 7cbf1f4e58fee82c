// SPDX-License-Identifier: Apache-2.0
// A large table piece by piece, into buffers that the caller reuses: it may do other things between two pieces.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>

#include "arguments.h"
#include "errors.h"
#include "object.h"

namespace toascope
{

/*
 * readPage(map, keys, values, from) -> {entries, next}
 *
 * The kernel copies whole buckets, each under its lock, and its cursor is a bucket's number. An entry never
 * moves to another bucket: one that is there from the first page to the last is read once, others at most once.
 */
Napi::Value BpfObject::read_page(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *of = map(env, info[0]);
	if (bpf_map__type(of) != BPF_MAP_TYPE_HASH)
		throw system_error(env, EINVAL, "read a page", bpf_map__name(of));
	const size_t key_size = bpf_map__key_size(of), value_size = bpf_map__value_size(of);
	auto keys = bytes_of(env, info[1], key_size, "keys");
	auto values = bytes_of(env, info[2], value_size, "values");
	const bool begin = !info[3].IsNumber();
	uint32_t cursor = begin ? 0 : info[3].As<Napi::Number>().Uint32Value();
	uint32_t count = std::min(keys.ByteLength() / key_size, values.ByteLength() / value_size);
	LIBBPF_OPTS(bpf_map_batch_opts, options);

	int error = bpf_map_lookup_batch(bpf_map__fd(of), begin ? nullptr : &cursor, &cursor, keys.Data(),
					 values.Data(), &count, &options);
	// ENOENT: that was the last bucket
	if (error && errno != ENOENT)
		throw system_error(env, errno, "read a page", bpf_map__name(of));
	Napi::Object page = Napi::Object::New(env);
	page.Set("entries", count);
	page.Set("next", error ? env.Undefined() : Napi::Number::New(env, cursor));
	return page;
}

} // namespace toascope
