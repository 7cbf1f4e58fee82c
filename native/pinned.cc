// SPDX-License-Identifier: Apache-2.0
#include "pinned.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "arguments.h"
#include "errors.h"
#include "grace_period.h"
#include "handles.h"
#include "per_cpu.h"
#include "../bpf/records.h"

namespace toascope
{
namespace
{

struct BtfDeleter {
	void operator()(btf *types) const
	{
		btf__free(types);
	}
};
using Btf = std::unique_ptr<btf, BtfDeleter>;

bool is_scalar(const btf_type *type)
{
	return btf_is_int(type) || btf_is_any_enum(type);
}

// Adds the fields of a type with their names and offsets: scalars, and arrays of scalars.
void add_fields(const btf *types, __u32 id, const std::string &name, __u32 offset, Napi::Array &to)
{
	const btf_type *type = btf__type_by_id(types, id);

	while (type && (btf_is_mod(type) || btf_is_typedef(type))) {
		id = type->type;
		type = btf__type_by_id(types, id);
	}
	if (!type)
		return;
	if (btf_is_struct(type)) {
		const btf_member *member = btf_members(type);
		for (int i = 0; i < btf_vlen(type); i++, member++) {
			std::string own = btf__name_by_offset(types, member->name_off);
			add_fields(types, member->type, name.empty() ? own : name + "." + own,
				   offset + btf_member_bit_offset(type, i) / 8, to);
		}
		return;
	}
	if (btf_is_array(type)) {
		const struct btf_array *array = btf_array(type);
		const int element_id = btf__resolve_type(types, array->type);
		const btf_type *element = element_id < 0 ? nullptr : btf__type_by_id(types, element_id);
		const __s64 size = btf__resolve_size(types, array->type);
		if (element && !is_scalar(element) && size > 0) {
			for (__u32 i = 0; i < array->nelems; i++)
				add_fields(types, array->type, name + "[" + std::to_string(i) + "]",
					   offset + i * static_cast<__u32>(size), to);
			return;
		}
	}
	const __s64 size = btf__resolve_size(types, id);
	Napi::Object field = Napi::Object::New(to.Env());
	field.Set("name", name);
	field.Set("offset", offset);
	field.Set("size", static_cast<double>(size < 0 ? 0 : size));
	to.Set(to.Length(), field);
}

Napi::Array fields_of(Napi::Env env, const btf *types, __u32 id)
{
	Napi::Array fields = Napi::Array::New(env);
	if (types && id)
		add_fields(types, id, "", 0, fields);
	return fields;
}

// Returns {maxEntries, keySize, valueSize, key, value, entries, keys, values} for a whole map;
// values of per-CPU maps are summed. `key` and `value` list the fields as the kernel knows them;
// they are empty if it does not.
Napi::Value read_map(Napi::Env env, const Fd &map, const std::string &path)
{
	bpf_map_info about = {};
	__u32 size = sizeof(about);

	if (!map || bpf_obj_get_info_by_fd(map.get(), &about, &size))
		throw system_error(env, errno, "open", path);
	const bool per_cpu =
		about.type == BPF_MAP_TYPE_PERCPU_ARRAY || about.type == BPF_MAP_TYPE_PERCPU_HASH;
	const size_t stride = (about.value_size + 7) / 8 * 8;
	std::vector<uint8_t> value(per_cpu ? stride * libbpf_num_possible_cpus() : stride),
		key(about.key_size), keys, values;
	for (bool more = !bpf_map_get_next_key(map.get(), nullptr, key.data()); more;
	     more = !bpf_map_get_next_key(map.get(), key.data(), key.data())) {
		if (bpf_map_lookup_elem(map.get(), key.data(), value.data()))
			continue;
		if (per_cpu)
			sum_cpus(value.data(), value.size(), about.value_size, value.data());
		keys.insert(keys.end(), key.begin(), key.end());
		values.insert(values.end(), value.begin(), value.begin() + about.value_size);
	}
	if (errno != ENOENT)
		throw system_error(env, errno, "read", path);

	Btf types(about.btf_id ? btf__load_from_kernel_by_id(about.btf_id) : nullptr);
	Napi::Object result = Napi::Object::New(env);
	result.Set("maxEntries", about.max_entries);
	result.Set("keySize", about.key_size);
	result.Set("valueSize", about.value_size);
	result.Set("key", fields_of(env, types.get(), about.btf_key_type_id));
	result.Set("value", fields_of(env, types.get(), about.btf_value_type_id));
	result.Set("entries", static_cast<double>(about.key_size ? keys.size() / about.key_size : 0));
	result.Set("keys", Napi::Buffer<uint8_t>::Copy(env, keys.data(), keys.size()));
	result.Set("values", Napi::Buffer<uint8_t>::Copy(env, values.data(), values.size()));
	return result;
}

} // namespace

// pinnedMap(path): see read_map()
Napi::Value pinned_map(const Napi::CallbackInfo &info)
{
	std::string path = info[0].As<Napi::String>();
	return read_map(info.Env(), Fd(bpf_obj_get(path.c_str())), path);
}

// mapById(id): see read_map(); requires CAP_SYS_ADMIN
Napi::Value map_by_id(const Napi::CallbackInfo &info)
{
	const __u32 id = info[0].As<Napi::Number>().Uint32Value();
	return read_map(info.Env(), Fd(bpf_map_get_fd_by_id(id)), "map " + std::to_string(id));
}

// detachLinks(paths): detaches links to cgroups; when it returns, none of their programs is running
// any more
void detach_links(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	Napi::Array paths = info[0].As<Napi::Array>();

	for (uint32_t i = 0; i < paths.Length(); i++) {
		std::string path = paths.Get(i).ToString();
		Fd link(bpf_obj_get(path.c_str()));
		// other links detach when their pins are removed
		if (!link || (bpf_link_detach(link.get()) && errno != EOPNOTSUPP))
			throw system_error(env, errno, "detach", path);
	}
	std::shared_ptr<GracePeriod> grace_period = GracePeriod::create();
	int error = grace_period ? grace_period->synchronize() : errno;
	if (error)
		throw system_error(env, error, "wait for", "a grace period");
}

// clientGenerations(keys) -> the client_generation() of each key
Napi::Value client_generations(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	auto keys = bytes_of(env, info[0], 0, "keys");
	auto generations = Napi::BigUint64Array::New(env, keys.ByteLength() / sizeof(client_key));

	for (size_t i = 0; i < generations.ElementLength(); i++) {
		client_key key;
		memcpy(&key, keys.Data() + i * sizeof(key), sizeof(key));
		generations[i] = client_generation(&key);
	}
	return generations;
}

} // namespace toascope
