// SPDX-License-Identifier: Apache-2.0
// The exports of the addon: native/binding.ts declares them.
#include <bpf/libbpf.h>
#include <napi.h>

#include "attached.h"
#include "instance_data.h"
#include "links.h"
#include "map.h"
#include "module_probe.h"
#include "object.h"
#include "peer_owner.h"
#include "pinned.h"
#include "probe.h"
#include "system.h"

namespace
{

Napi::Object init(Napi::Env env, Napi::Object exports)
{
	env.SetInstanceData(new toascope::InstanceData{ Napi::Persistent(toascope::BpfMap::define(env)) });
	exports.Set("BpfObject", toascope::BpfObject::define(env));
	exports.Set("probe", Napi::Function::New<toascope::probe>(env));
	exports.Set("notify", Napi::Function::New<toascope::notify>(env));
	exports.Set("writeNow", Napi::Function::New<toascope::write_now>(env));
	exports.Set("lock", Napi::Function::New<toascope::lock>(env));
	exports.Set("mountBpffs", Napi::Function::New<toascope::mount_bpffs>(env));
	exports.Set("unmount", Napi::Function::New<toascope::unmount>(env));
	exports.Set("monotonicNs", Napi::Function::New<toascope::monotonic_ns>(env));
	exports.Set("peerOwner", Napi::Function::New<toascope::peer_owner>(env));
	exports.Set("peerProcess", Napi::Function::New<toascope::peer_process>(env));
	exports.Set("pinnedMap", Napi::Function::New<toascope::pinned_map>(env));
	exports.Set("attachedPrograms", Napi::Function::New<toascope::attached_programs>(env));
	exports.Set("attachedLinks", Napi::Function::New<toascope::attached_links>(env));
	exports.Set("programMaps", Napi::Function::New<toascope::program_maps>(env));
	exports.Set("mapById", Napi::Function::New<toascope::map_by_id>(env));
	exports.Set("runPinned", Napi::Function::New<toascope::run_pinned>(env));
	exports.Set("pinnedId", Napi::Function::New<toascope::pinned_id>(env));
	exports.Set("detachLinks", Napi::Function::New<toascope::detach_links>(env));
	exports.Set("clientGenerations", Napi::Function::New<toascope::client_generations>(env));
	exports.Set("probeModule", Napi::Function::New<toascope::probe_module>(env));
	exports.Set("libbpfVersion", Napi::String::New(env, libbpf_version_string()));
	return exports;
}

} // namespace

NODE_API_MODULE(toascope, init)
