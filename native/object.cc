// SPDX-License-Identifier: Apache-2.0
// Opens, loads and closes the BPF object, and attaches its programs.
#include "object.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "../bpf/records.h"
#include "arguments.h"
#include "errors.h"
#include "links.h"
#include "map.h"
#include "skeleton.h"

namespace toascope
{

Napi::Function BpfObject::define(Napi::Env env)
{
	return DefineClass(env, "BpfObject",
			   {
				   InstanceMethod<&BpfObject::attach>("attach"),
				   InstanceMethod<&BpfObject::detach>("detach"),
				   InstanceMethod<&BpfObject::links>("links"),
				   InstanceMethod<&BpfObject::pin>("pin"),
				   InstanceMethod<&BpfObject::close>("close"),
				   InstanceMethod<&BpfObject::map>("map"),
				   InstanceMethod<&BpfObject::refresh_index>("refreshIndex"),
				   InstanceMethod<&BpfObject::connections_of_peer>("connectionsOfPeer"),
				   InstanceMethod<&BpfObject::connections_of_client>("connectionsOfClient"),
				   InstanceMethod<&BpfObject::set_save_syn>("setSaveSyn"),
				   InstanceMethod<&BpfObject::iterate>("iterate"),
				   InstanceMethod<&BpfObject::run>("run"),
				   InstanceMethod<&BpfObject::pin_program>("pinProgram"),
				   InstanceMethod<&BpfObject::synchronize>("synchronize"),
				   InstanceMethod<&BpfObject::synchronize_blocking>("synchronizeBlocking"),
				   InstanceMethod<&BpfObject::program_statistics>("programStatistics"),
				   InstanceMethod<&BpfObject::drain>("drain"),
				   InstanceMethod<&BpfObject::ring_share>("ringShare"),
			   });
}

BpfObject::BpfObject(const Napi::CallbackInfo &info) : Napi::ObjectWrap<BpfObject>(info)
{
	if (!info[0].IsObject())
		throw Napi::TypeError::New(info.Env(), "BpfObject: options expected");
	try {
		load(info.Env(), info[0].As<Napi::Object>());
	} catch (...) {
		release();
		throw;
	}
}

BpfObject::~BpfObject()
{
	release();
}

void BpfObject::release()
{
	ring_.reset();
	ring_fill_.reset();
	loaded_->index.reset();
	grace_period_.reset();
	links_.clear();
	draining_.clear();
	if (skeleton())
		toascope_bpf__destroy(skeleton());
	loaded_->skeleton = nullptr;
}

void BpfObject::close(const Napi::CallbackInfo &)
{
	release();
}

void BpfObject::load(Napi::Env env, const Napi::Object &options)
{
	LogCapture log;

	loaded_->skeleton = toascope_bpf__open();
	if (!skeleton())
		throw system_error(env, errno, "open", "toascope.bpf.o");

	Napi::Object sizes = options.Get("mapEntries").As<Napi::Object>();
	for (const auto &name : sizes.GetPropertyNames()) {
		Napi::Value key = name.second;
		int error = bpf_map__set_max_entries(find_map(env, *loaded_, key),
						     sizes.Get(key).As<Napi::Number>().Uint32Value());
		if (error)
			throw system_error(env, error, "size", key.As<Napi::String>());
	}
	Napi::Object programs = options.Get("autoload").As<Napi::Object>();
	for (const auto &name : programs.GetPropertyNames()) {
		Napi::Value key = name.second;
		bpf_program__set_autoload(program(env, key), programs.Get(key).ToBoolean());
	}
	const uint32_t listeners = bpf_map__max_entries(skeleton()->maps.listeners);
	loaded_->rows = options.Get("listenerRows").As<Napi::Number>().Uint32Value();
	skeleton()->rodata->cfg.listener_slots = listeners - 1;
	skeleton()->rodata->cfg.listener_rows = loaded_->rows;
	bpf_map__set_max_entries(skeleton()->maps.listeners, listeners * loaded_->rows);
	skeleton()->rodata->cfg.prefix_slots = bpf_map__max_entries(skeleton()->maps.prefix_clients) / 2;
	skeleton()->rodata->cfg.connection_slots = bpf_map__max_entries(skeleton()->maps.connections);
	skeleton()->rodata->cfg.from_module = options.Get("fromModule").ToBoolean();
	skeleton()->rodata->cfg.can_set_error = options.Get("canSetError").ToBoolean();
	skeleton()->rodata->cfg.mptcp_helpers = options.Get("mptcpHelpers").ToBoolean();
	skeleton()->rodata->cfg.task_helpers = options.Get("taskHelpers").ToBoolean();
	skeleton()->rodata->cfg.transparent_bit =
		options.Get("transparentBit").As<Napi::Number>().Uint32Value();
	skeleton()->rodata->cfg.kernel_reads = options.Get("kernelReads").ToBoolean();
	skeleton()->rodata->cfg.tracing_locks = options.Get("tracingLocks").ToBoolean();

	if (options.Get("pin").IsObject()) {
		Napi::Object pin = options.Get("pin").As<Napi::Object>();
		std::string directory = pin.Get("directory").ToString();
		Napi::Array names = pin.Get("maps").As<Napi::Array>();
		for (uint32_t i = 0; i < names.Length(); i++) {
			bpf_map *pinned = find_map(env, *loaded_, names.Get(i));
			bpf_map__set_pin_path(pinned, (directory + "/" + bpf_map__name(pinned)).c_str());
		}
	}

	int error = toascope_bpf__load(skeleton());
	if (error) {
		std::string target = log.program();
		Napi::Error failure =
			system_error(env, error, "load", target.empty() ? "toascope.bpf.o" : target);
		failure.Set("log", Napi::String::New(env, log.last_lines(20)));
		throw failure;
	}
	loaded_->index = SlotIndex::open(
		bpf_map__fd(skeleton()->maps.slot_hashes), bpf_map__fd(skeleton()->maps.change_marks),
		bpf_map__fd(skeleton()->maps.meta), bpf_map__max_entries(skeleton()->maps.connections));
	if (!loaded_->index)
		throw system_error(env, errno, "map", "slot_hashes");
	grace_period_ = GracePeriod::create();
	if (!grace_period_)
		throw system_error(env, errno, "create", "toascope_wait");
}

// map(name) -> BpfMap
Napi::Value BpfObject::map(const Napi::CallbackInfo &info)
{
	return BpfMap::make(info.Env(), loaded_, info[0]);
}

bpf_program *BpfObject::program(Napi::Env env, const Napi::Value &name) const
{
	if (!skeleton())
		throw system_error(env, EBADF, "use", "a closed BPF object");
	bpf_program *found = name.IsString() ?
				     bpf_object__find_program_by_name(
					     skeleton()->obj, name.As<Napi::String>().Utf8Value().c_str()) :
				     nullptr;
	if (!found)
		throw system_error(env, ENOENT, "find program", name.ToString());
	return found;
}

namespace
{

Link attach_to_cgroup(bpf_program *program, const std::string &path, int &error)
{
	Fd cgroup(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	if (!cgroup) {
		error = errno;
		return nullptr;
	}
	Link link(bpf_program__attach_cgroup(program, cgroup.get()));
	error = link ? 0 : errno;
	return link;
}

} // namespace

// attach(program, {cgroup?, pin?, drain?}) -> "attached" | "replaced"; `drain`: the previous link
// stays attached to what is left of a removed cgroup
Napi::Value BpfObject::attach(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	LogCapture log;
	bpf_program *wanted = program(env, info[0]);
	std::string name = bpf_program__name(wanted);
	Napi::Object to = info[1].IsObject() ? info[1].As<Napi::Object>() : Napi::Object::New(env);
	std::string pin = to.Get("pin").IsString() ? to.Get("pin").As<Napi::String>().Utf8Value() : "";
	int error = 0;

	// it outlives the attach below: a link that cannot be updated in place is closed only after
	// its successor is attached
	Link old;
	if (!pin.empty()) {
		// a link of an earlier daemon: its program is replaced in place, without a gap
		old.reset(bpf_link__open(pin.c_str()));
		bool same_cgroup = !to.Get("cgroup").IsString() ||
				   is_attached_to(old.get(), to.Get("cgroup").As<Napi::String>());
		if (old && same_cgroup && !bpf_link__update_program(old.get(), wanted)) {
			links_[name] = std::move(old);
			return Napi::String::New(env, "replaced");
		}
	}

	Link link;
	if (to.Get("cgroup").IsString())
		link = attach_to_cgroup(wanted, to.Get("cgroup").As<Napi::String>(), error);
	else {
		link.reset(bpf_program__attach(wanted));
		error = link ? 0 : errno;
	}
	if (!link)
		throw system_error(env, error, "attach", name);
	if (!pin.empty()) {
		error = pin_in_place(bpf_link__fd(link.get()), pin);
		if (error)
			throw system_error(env, error, "pin", pin);
		link.reset(bpf_link__open(pin.c_str()));
		if (!link)
			throw system_error(env, errno, "open", pin);
	}
	Link &current = links_[name];
	if (to.Get("drain").ToBoolean() && current)
		draining_.push_back(std::move(current));
	current = std::move(link);
	return Napi::String::New(env, "attached");
}

} // namespace toascope
