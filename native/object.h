// SPDX-License-Identifier: Apache-2.0
// The BPF object of this daemon: it loads the programs and maps once, and attaches, pins and reads
// them.
#pragma once

#include <napi.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "grace_period.h"
#include "handles.h"
#include "loaded_object.h"
#include "ring_fill.h"

struct toascope_bpf;

namespace toascope
{

class BpfObject : public Napi::ObjectWrap<BpfObject>
{
public:
	static Napi::Function define(Napi::Env env);

	explicit BpfObject(const Napi::CallbackInfo &info);
	~BpfObject() override;

private:
	// object.cc
	void load(Napi::Env env, const Napi::Object &options);
	Napi::Value attach(const Napi::CallbackInfo &info);
	Napi::Value map(const Napi::CallbackInfo &info);
	void close(const Napi::CallbackInfo &info);
	void release();

	// lookup.cc
	Napi::Value refresh_index(const Napi::CallbackInfo &info);
	Napi::Value connections_of_peer(const Napi::CallbackInfo &info);
	Napi::Value connections_of_client(const Napi::CallbackInfo &info);
	SlotIndex &index(Napi::Env env) const;

	// links.cc
	Napi::Value links(const Napi::CallbackInfo &info);
	Napi::Value detach(const Napi::CallbackInfo &info);
	void pin(const Napi::CallbackInfo &info);

	// save_syn.cc
	void set_save_syn(const Napi::CallbackInfo &info);

	// programs.cc
	Napi::Value iterate(const Napi::CallbackInfo &info);
	Napi::Value run(const Napi::CallbackInfo &info);
	void pin_program(const Napi::CallbackInfo &info);
	Napi::Value program_statistics(const Napi::CallbackInfo &info);

	// grace_period.cc
	Napi::Value synchronize(const Napi::CallbackInfo &info);
	void synchronize_blocking(const Napi::CallbackInfo &info);

	// ring.cc
	Napi::Value drain(const Napi::CallbackInfo &info);
	Napi::Value ring_share(const Napi::CallbackInfo &info);
	void open_ring(Napi::Env env);

	// Throws if the object is closed or has no program of that name.
	bpf_program *program(Napi::Env env, const Napi::Value &name) const;

	// The buffer for the records of the ring during one drain.
	struct Slab {
		uint8_t *bytes = nullptr;
		size_t size = 0;
		size_t used = 0;
	};
	static int take_record(void *context, void *data, size_t size);

	toascope_bpf *skeleton() const
	{
		return loaded_->skeleton;
	}

	std::shared_ptr<LoadedObject> loaded_ = std::make_shared<LoadedObject>();
	// Links are destroyed before the object whose programs they run: see release().
	std::map<std::string, Link> links_;
	// Links to removed cgroups whose last connections are still open.
	std::vector<Link> draining_;
	Ring ring_;
	std::unique_ptr<RingFill> ring_fill_;
	std::shared_ptr<GracePeriod> grace_period_;
	Slab slab_;
};

// programs.cc
Napi::Value run_pinned(const Napi::CallbackInfo &info);

} // namespace toascope
