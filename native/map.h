// SPDX-License-Identifier: Apache-2.0
// The handle of a map of a BPF object.
#pragma once

#include <napi.h>

#include <memory>

#include "loaded_object.h"

struct bpf_map;

namespace toascope
{

class BpfMap : public Napi::ObjectWrap<BpfMap>
{
public:
	static Napi::Function define(Napi::Env env);
	// Returns a handle of a map of this object. Throws ENOENT if it has no map of that name.
	static Napi::Object make(Napi::Env env, const std::shared_ptr<LoadedObject> &object,
				 const Napi::Value &name);

	explicit BpfMap(const Napi::CallbackInfo &info);

private:
	// Throws EBADF if the object is closed.
	bpf_map *map(Napi::Env env) const;
	bool is_listeners() const;
	uint32_t rows() const;
	uint64_t lock_flag() const;
	int sum_rows(uint32_t slot, uint8_t *sum) const;

	// map.cc
	Napi::Value id(const Napi::CallbackInfo &info);
	void pin(const Napi::CallbackInfo &info);
	Napi::Value lookup(const Napi::CallbackInfo &info);
	Napi::Value update(const Napi::CallbackInfo &info);
	void update_all(const Napi::CallbackInfo &info);
	Napi::Value remove(const Napi::CallbackInfo &info);

	// map_pages.cc
	Napi::Value read_all(const Napi::CallbackInfo &info);
	Napi::Value read_page(const Napi::CallbackInfo &info);
	Napi::Value count(const Napi::CallbackInfo &info);

	std::shared_ptr<LoadedObject> object_;
	bpf_map *map_ = nullptr;
};

} // namespace toascope
