// SPDX-License-Identifier: Apache-2.0
// Reads the ring buffer: records go into one buffer that the caller owns and reuses.
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>

#include "arguments.h"
#include "errors.h"
#include "object.h"
#include "skeleton.h"

#include "../bpf/records.h"

namespace toascope
{

int BpfObject::take_record(void *context, void *data, size_t size)
{
	auto *slab = &static_cast<BpfObject *>(context)->slab_;

	// libbpf has consumed the record by now: the return value of the previous call ensured that
	// there is room for it
	if (size == sizeof(event)) {
		memcpy(slab->bytes + slab->used, data, size);
		slab->used += size;
	}
	return slab->size - slab->used < sizeof(event) ? -ENOBUFS : 0;
}

// Opens the ring at the first drain only: an open ring counts twice against the memory of the
// process, and many processes never read it.
void BpfObject::open_ring(Napi::Env env)
{
	ring_.reset(ring_buffer__new(bpf_map__fd(skeleton()->maps.ring), take_record, this, nullptr));
	if (!ring_)
		throw system_error(env, errno, "open", "ring");
}

// ringShare() -> the part of the ring that is in use, from 0 to 1
Napi::Value BpfObject::ring_share(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (!skeleton())
		throw system_error(env, EBADF, "use", "a closed BPF object");
	const bpf_map *ring = skeleton()->maps.ring;
	if (!ring_fill_)
		ring_fill_ = RingFill::open(bpf_map__fd(ring), bpf_map__max_entries(ring));
	if (!ring_fill_)
		throw system_error(env, errno, "map", "ring");
	return Napi::Number::New(env, ring_fill_->share());
}

// drain(buffer) -> the number of bytes written, whole records; less than a full buffer means that
// the ring is empty
Napi::Value BpfObject::drain(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	if (!skeleton())
		throw system_error(env, EBADF, "use", "a closed BPF object");
	auto buffer = bytes_of(env, info[0], sizeof(event), "buffer");
	if (!ring_)
		open_ring(env);
	slab_ = { buffer.Data(), buffer.ByteLength(), 0 };
	int result = ring_buffer__consume(ring_.get());
	if (result < 0 && result != -ENOBUFS)
		throw system_error(env, result, "drain", "ring");
	return Napi::Number::New(env, static_cast<double>(slab_.used));
}

} // namespace toascope
