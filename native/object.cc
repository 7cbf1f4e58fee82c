// SPDX-License-Identifier: Apache-2.0
#include "object.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "../bpf/records.h"
#include "errors.h"
#include "links.h"
#include "toascope.skel.h"

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
				   InstanceMethod<&BpfObject::map_id>("mapId"),
				   InstanceMethod<&BpfObject::close>("close"),
				   InstanceMethod<&BpfObject::map_info>("mapInfo"),
				   InstanceMethod<&BpfObject::lookup>("lookup"),
				   InstanceMethod<&BpfObject::update>("update"),
				   InstanceMethod<&BpfObject::update_all>("updateAll"),
				   InstanceMethod<&BpfObject::remove>("remove"),
				   InstanceMethod<&BpfObject::read_all>("readAll"),
				   InstanceMethod<&BpfObject::count>("count"),
				   InstanceMethod<&BpfObject::find_peer>("findPeer"),
				   InstanceMethod<&BpfObject::keep_syns>("keepSyns"),
				   InstanceMethod<&BpfObject::read_page>("readPage"),
				   InstanceMethod<&BpfObject::iterate>("iterate"),
				   InstanceMethod<&BpfObject::run>("run"),
				   InstanceMethod<&BpfObject::pin_program>("pinProgram"),
				   InstanceMethod<&BpfObject::runs_over>("runsOver"),
				   InstanceMethod<&BpfObject::wait_for_runs>("waitForRuns"),
				   InstanceMethod<&BpfObject::program_statistics>("programStatistics"),
				   InstanceMethod<&BpfObject::drain>("drain"),
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
	tags_.reset();
	runs_over_.reset();
	links_.clear();
	draining_.clear();
	if (skeleton_)
		toascope_bpf__destroy(skeleton_);
	skeleton_ = nullptr;
}

void BpfObject::close(const Napi::CallbackInfo &)
{
	release();
}

void BpfObject::load(Napi::Env env, const Napi::Object &options)
{
	LogCapture log;

	skeleton_ = toascope_bpf__open();
	if (!skeleton_)
		throw system_error(env, errno, "open", "toascope.bpf.o");

	Napi::Object sizes = options.Get("mapEntries").As<Napi::Object>();
	for (const auto &name : sizes.GetPropertyNames()) {
		Napi::Value key = name.second;
		int error = bpf_map__set_max_entries(map(env, key),
						     sizes.Get(key).As<Napi::Number>().Uint32Value());
		if (error)
			throw system_error(env, error, "size", key.As<Napi::String>());
	}
	Napi::Object programs = options.Get("autoload").As<Napi::Object>();
	for (const auto &name : programs.GetPropertyNames()) {
		Napi::Value key = name.second;
		bpf_program__set_autoload(program(env, key), programs.Get(key).ToBoolean());
	}
	const uint32_t listeners = bpf_map__max_entries(skeleton_->maps.listeners);
	rows_ = options.Get("listenerRows").As<Napi::Number>().Uint32Value();
	skeleton_->rodata->listener_slots = listeners - 1;
	skeleton_->rodata->listener_rows = rows_;
	bpf_map__set_max_entries(skeleton_->maps.listeners, listeners * rows_);
	skeleton_->rodata->prefix_slots = bpf_map__max_entries(skeleton_->maps.prefix_clients) / 2;
	skeleton_->rodata->connection_slots = bpf_map__max_entries(skeleton_->maps.connections);
	skeleton_->rodata->from_module = options.Get("fromModule").ToBoolean();
	skeleton_->rodata->can_set_error = options.Get("canSetError").ToBoolean();
	skeleton_->rodata->mptcp_helpers = options.Get("mptcpHelpers").ToBoolean();
	skeleton_->rodata->task_helpers = options.Get("taskHelpers").ToBoolean();
	skeleton_->rodata->transparent_bit = options.Get("transparentBit").As<Napi::Number>().Uint32Value();
	skeleton_->rodata->kernel_reads = options.Get("kernelReads").ToBoolean();
	skeleton_->rodata->tracing_locks = options.Get("tracingLocks").ToBoolean();

	if (options.Get("pin").IsObject()) {
		Napi::Object pin = options.Get("pin").As<Napi::Object>();
		std::string directory = pin.Get("directory").ToString();
		Napi::Array names = pin.Get("maps").As<Napi::Array>();
		for (uint32_t i = 0; i < names.Length(); i++) {
			bpf_map *each = map(env, names.Get(i));
			bpf_map__set_pin_path(each, (directory + "/" + bpf_map__name(each)).c_str());
		}
	}

	int error = toascope_bpf__load(skeleton_);
	if (error) {
		std::string target = log.program();
		Napi::Error failure =
			system_error(env, error, "load", target.empty() ? "toascope.bpf.o" : target);
		failure.Set("log", Napi::String::New(env, log.last_lines(20)));
		throw failure;
	}
	tags_ = PeerTags::map(bpf_map__fd(skeleton_->maps.peer_tags),
			      bpf_map__max_entries(skeleton_->maps.peer_tags),
			      bpf_map__fd(skeleton_->maps.ledger));
	if (!tags_)
		throw system_error(env, errno, "map", "peer_tags");
	runs_over_ = RunsOver::create();
	if (!runs_over_)
		throw system_error(env, errno, "create", "toascope_wait");
}

bpf_map *BpfObject::map(Napi::Env env, const Napi::Value &name) const
{
	if (!skeleton_)
		throw system_error(env, EBADF, "use", "a closed BPF object");
	bpf_map *found = name.IsString() ?
				 bpf_object__find_map_by_name(skeleton_->obj,
							      name.As<Napi::String>().Utf8Value().c_str()) :
				 nullptr;
	if (!found)
		throw system_error(env, ENOENT, "find map", name.ToString());
	return found;
}

bpf_program *BpfObject::program(Napi::Env env, const Napi::Value &name) const
{
	if (!skeleton_)
		throw system_error(env, EBADF, "use", "a closed BPF object");
	bpf_program *found = name.IsString() ?
				     bpf_object__find_program_by_name(
					     skeleton_->obj, name.As<Napi::String>().Utf8Value().c_str()) :
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

// attach(program, {cgroup?, pin?, drain?}) -> "attached" | "replaced"; `drain`: the link that it had stays for what is left
// of a cgroup that was removed
Napi::Value BpfObject::attach(const Napi::CallbackInfo &info)
{
	Napi::Env env = info.Env();
	LogCapture log;
	bpf_program *wanted = program(env, info[0]);
	std::string name = bpf_program__name(wanted);
	Napi::Object to = info[1].IsObject() ? info[1].As<Napi::Object>() : Napi::Object::New(env);
	std::string pin = to.Get("pin").IsString() ? to.Get("pin").As<Napi::String>().Utf8Value() : "";
	int error = 0;

	Link old; // outlives the attach below: what cannot be exchanged in place goes when its successor hangs
	if (!pin.empty()) {
		// one that a daemon before us left: its program is exchanged in place, without a gap
		old.reset(bpf_link__open(pin.c_str()));
		bool same_place = !to.Get("cgroup").IsString() ||
				  is_attached_to(old.get(), to.Get("cgroup").As<Napi::String>());
		if (old && same_place && !bpf_link__update_program(old.get(), wanted)) {
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
	Link &now = links_[name];
	if (to.Get("drain").ToBoolean() && now)
		draining_.push_back(std::move(now));
	now = std::move(link);
	return Napi::String::New(env, "attached");
}

} // namespace toascope
