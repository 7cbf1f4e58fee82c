// SPDX-License-Identifier: Apache-2.0
// The BPF object of this daemon: loaded once, attached, pinned, read.
#pragma once

#include <napi.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "handles.h"
#include "peer_tags.h"
#include "runs_over.h"

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
	void close(const Napi::CallbackInfo &info);
	void release();

	// links.cc
	Napi::Value links(const Napi::CallbackInfo &info);
	Napi::Value detach(const Napi::CallbackInfo &info);
	void pin(const Napi::CallbackInfo &info);
	Napi::Value map_id(const Napi::CallbackInfo &info);

	// maps.cc
	uint32_t rows_of(const bpf_map *map) const;
	uint64_t lock_flag(const bpf_map *map) const;
	int sum_rows(uint32_t slot, uint8_t *sum);
	Napi::Value map_info(const Napi::CallbackInfo &info);
	Napi::Value lookup(const Napi::CallbackInfo &info);
	Napi::Value update(const Napi::CallbackInfo &info);
	void update_all(const Napi::CallbackInfo &info);
	Napi::Value remove(const Napi::CallbackInfo &info);
	Napi::Value read_all(const Napi::CallbackInfo &info);
	Napi::Value count(const Napi::CallbackInfo &info);
	Napi::Value find_peer(const Napi::CallbackInfo &info);

	// listeners.cc
	void keep_syns(const Napi::CallbackInfo &info);

	// pages.cc
	Napi::Value read_page(const Napi::CallbackInfo &info);

	// programs.cc
	Napi::Value iterate(const Napi::CallbackInfo &info);
	Napi::Value run(const Napi::CallbackInfo &info);
	void pin_program(const Napi::CallbackInfo &info);
	Napi::Value program_statistics(const Napi::CallbackInfo &info);

	// runs_over.cc
	Napi::Value runs_over(const Napi::CallbackInfo &info);
	void wait_for_runs(const Napi::CallbackInfo &info);

	// ring.cc
	Napi::Value drain(const Napi::CallbackInfo &info);
	void open_ring(Napi::Env env);

	// Throw when the object is closed or the name is not one of its own.
	bpf_map *map(Napi::Env env, const Napi::Value &name) const;
	bpf_program *program(Napi::Env env, const Napi::Value &name) const;

	// Where records of the ring go during one drain.
	struct Slab {
		uint8_t *bytes = nullptr;
		size_t size = 0;
		size_t used = 0;
	};
	static int take_record(void *context, void *data, size_t size);

	toascope_bpf *skeleton_ = nullptr;
	// Links are destroyed before the object they hang on: see release().
	std::map<std::string, Link> links_;
	// On cgroups that were removed, whose last connections are still open.
	std::vector<Link> draining_;
	// Of each listener, in the map `listeners`.
	uint32_t rows_ = 1;
	Ring ring_;
	std::unique_ptr<PeerTags> tags_;
	std::shared_ptr<RunsOver> runs_over_;
	Slab slab_;
};

// programs.cc
Napi::Value run_pinned(const Napi::CallbackInfo &info);

} // namespace toascope
