// SPDX-License-Identifier: Apache-2.0
// Reads and writes single entries of a map. For `listeners`, JavaScript sees one value for each
// listener: the sum of its rows.
#include "map.h"

#include <bpf/bpf.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "instance_data.h"
#include "links.h"
#include "per_cpu.h"
#include "skeleton.h"

namespace toascope
{
namespace
{

// The arguments that make() passes to the constructor.
struct Origin {
	std::shared_ptr<LoadedObject> object;
	bpf_map *map;
};

} // namespace

Napi::Function BpfMap::define(Napi::Env env)
{
	return DefineClass(env, "BpfMap",
			   {
				   InstanceMethod<&BpfMap::id>("id"),
				   InstanceMethod<&BpfMap::pin>("pin"),
				   InstanceMethod<&BpfMap::lookup>("lookup"),
				   InstanceMethod<&BpfMap::update>("update"),
				   InstanceMethod<&BpfMap::update_all>("updateAll"),
				   InstanceMethod<&BpfMap::remove>("remove"),
				   InstanceMethod<&BpfMap::read_all>("readAll"),
				   InstanceMethod<&BpfMap::read_page>("readPage"),
				   InstanceMethod<&BpfMap::count>("count"),
			   });
}

bpf_map *find_map(Napi::Env env, const LoadedObject &object, const Napi::Value &name)
{
	if (!object.skeleton)
		throw system_error(env, EBADF, "use", "a closed BPF object");
	bpf_map *found = name.IsString() ?
				 bpf_object__find_map_by_name(object.skeleton->obj,
							      name.As<Napi::String>().Utf8Value().c_str()) :
				 nullptr;
	if (!found)
		throw system_error(env, ENOENT, "find map", name.ToString());
	return found;
}

Napi::Object BpfMap::make(Napi::Env env, const std::shared_ptr<LoadedObject> &object, const Napi::Value &name)
{
	bpf_map *found = find_map(env, *object, name);
	Origin origin{ object, found };
	Napi::Object handle =
		env.GetInstanceData<InstanceData>()->map.New({ Napi::External<Origin>::New(env, &origin) });
	handle.Set("keySize", bpf_map__key_size(found));
	handle.Set("valueSize", bpf_map__value_size(found));
	const uint32_t rows = found == object->skeleton->maps.listeners ? object->rows : 1;
	handle.Set("maxEntries", bpf_map__max_entries(found) / rows);
	return handle;
}

BpfMap::BpfMap(const Napi::CallbackInfo &info) : Napi::ObjectWrap<BpfMap>(info)
{
	if (!info[0].IsExternal())
		throw Napi::TypeError::New(info.Env(), "BpfMap: use BpfObject.map() to create one");
	const Origin *origin = info[0].As<Napi::External<Origin>>().Data();
	object_ = origin->object;
	map_ = origin->map;
}

bpf_map *BpfMap::map(Napi::Env env) const
{
	if (!object_->skeleton)
		throw system_error(env, EBADF, "use", "a closed BPF object");
	return map_;
}

bool BpfMap::is_listeners() const
{
	return map_ == object_->skeleton->maps.listeners;
}

// The number of entries that JavaScript sees as one.
uint32_t BpfMap::rows() const
{
	return is_listeners() ? object_->rows : 1;
}

// Values that contain a lock are copied under it.
uint64_t BpfMap::lock_flag() const
{
	return is_listeners() || map_ == object_->skeleton->maps.connections ? BPF_F_LOCK : 0;
}

// Sums the rows of a listener. Returns 0, or errno.
int BpfMap::sum_rows(uint32_t slot, uint8_t *sum) const
{
	const size_t size = bpf_map__value_size(map_);
	std::vector<uint8_t> values(size * rows());
	for (uint32_t row = 0; row < rows(); row++) {
		const uint32_t key = slot * rows() + row;
		if (bpf_map_lookup_elem_flags(bpf_map__fd(map_), &key, values.data() + row * size,
					      BPF_F_LOCK))
			return errno;
	}
	sum_cpus(values.data(), values.size(), size, sum);
	memset(sum, 0, sizeof(uint64_t)); // the lock
	return 0;
}

// id() -> the id of the map in the kernel
Napi::Value BpfMap::id(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	bpf_map_info map_info = {};
	__u32 size = sizeof(map_info);

	if (bpf_obj_get_info_by_fd(bpf_map__fd(target), &map_info, &size))
		throw system_error(env, errno, "query", bpf_map__name(target));
	return Napi::Number::New(env, map_info.id);
}

// pin(path): pins the map, and replaces whatever is pinned there
void BpfMap::pin(const Napi::CallbackInfo &info)
{
	const std::string path = info[0].ToString();
	const int error = pin_in_place(bpf_map__fd(map(info.Env())), path);
	if (error)
		throw system_error(info.Env(), error, "pin", path);
}

// lookup(key, value) -> found
Napi::Value BpfMap::lookup(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	const uint8_t *key = bytes_of(env, info[0], bpf_map__key_size(target), "key").Data();
	uint8_t *value = bytes_of(env, info[1], bpf_map__value_size(target), "value").Data();
	std::vector<uint8_t> cpus(is_per_cpu(target) ? value_stride(target) : 0);
	int error = 0;
	if (is_listeners()) {
		uint32_t slot;
		memcpy(&slot, key, sizeof(slot));
		error = sum_rows(slot, value);
	} else if (bpf_map_lookup_elem_flags(bpf_map__fd(target), key, cpus.empty() ? value : cpus.data(),
					     lock_flag())) {
		error = errno;
	}
	if (!error && !cpus.empty())
		sum_cpus(cpus.data(), cpus.size(), bpf_map__value_size(target), value);
	if (error && error != ENOENT)
		throw system_error(env, error, "lookup", bpf_map__name(target));
	return Napi::Boolean::New(env, !error);
}

// update(key, value, flags) -> false if the flags forbid it or the map is full. For a listener, the
// first of its rows is written.
Napi::Value BpfMap::update(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	const uint8_t *key = bytes_of(env, info[0], bpf_map__key_size(target), "key").Data();
	const uint8_t *value = bytes_of(env, info[1], bpf_map__value_size(target), "value").Data();
	std::vector<uint8_t> cpus(is_per_cpu(target) ? value_stride(target) : 0);
	if (!cpus.empty()) {
		memcpy(cpus.data(), value, bpf_map__value_size(target));
		value = cpus.data();
	}
	uint64_t flags = info[2].IsNumber() ? info[2].As<Napi::Number>().Uint32Value() : 0;
	uint32_t first_row;
	if (is_listeners()) {
		memcpy(&first_row, key, sizeof(first_row));
		first_row *= rows();
		key = reinterpret_cast<const uint8_t *>(&first_row);
	}
	if (!bpf_map_update_elem(bpf_map__fd(target), key, value, flags))
		return Napi::Boolean::New(env, true);
	// a full hash returns E2BIG, a full trie ENOSPC
	if (errno != EEXIST && errno != ENOENT && errno != E2BIG && errno != ENOSPC)
		throw system_error(env, errno, "update", bpf_map__name(target));
	return Napi::Boolean::New(env, false);
}

// updateAll(keys, values): entries of a hash map, one after the other in both buffers
void BpfMap::update_all(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	if (bpf_map__type(target) != BPF_MAP_TYPE_HASH)
		throw system_error(env, EINVAL, "update", bpf_map__name(target));
	auto keys = bytes_of(env, info[0], 0, "keys");
	uint32_t count = keys.ByteLength() / bpf_map__key_size(target);
	const uint8_t *values = bytes_of(env, info[1], count * value_stride(target), "values").Data();
	LIBBPF_OPTS(bpf_map_batch_opts, options);

	if (bpf_map_update_batch(bpf_map__fd(target), keys.Data(), values, &count, &options))
		throw system_error(env, errno, "update", bpf_map__name(target));
}

// remove(key) -> whether there was an entry
Napi::Value BpfMap::remove(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	bpf_map *target = map(env);
	const uint8_t *key = bytes_of(env, info[0], bpf_map__key_size(target), "key").Data();
	if (!bpf_map_delete_elem(bpf_map__fd(target), key))
		return Napi::Boolean::New(env, true);
	if (errno != ENOENT)
		throw system_error(env, errno, "delete", bpf_map__name(target));
	return Napi::Boolean::New(env, false);
}

} // namespace toascope
