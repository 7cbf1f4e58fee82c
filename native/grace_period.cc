// SPDX-License-Identifier: Apache-2.0
// Waits for an RCU grace period: when it returns, every BPF program run that had already started
// has ended.
#include "grace_period.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "errors.h"
#include "object.h"

namespace toascope
{

namespace
{

// Waits in a worker thread, off the event loop. The object can be closed meanwhile: the maps live
// as long as a wait uses them.
class Wait : public Napi::AsyncWorker
{
public:
	Wait(Napi::Env env, std::shared_ptr<GracePeriod> grace_period)
		: Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)),
		  grace_period_(std::move(grace_period))
	{
	}

	Napi::Promise promise() const
	{
		return deferred_.Promise();
	}

protected:
	void Execute() override
	{
		error_ = grace_period_->synchronize();
	}

	void OnOK() override
	{
		if (error_)
			deferred_.Reject(system_error(Env(), error_, "wait for", "a grace period").Value());
		else
			deferred_.Resolve(Env().Undefined());
	}

private:
	Napi::Promise::Deferred deferred_;
	std::shared_ptr<GracePeriod> grace_period_;
	int error_ = 0;
};

} // namespace

std::shared_ptr<GracePeriod> GracePeriod::create()
{
	auto created = std::make_shared<GracePeriod>();
	LIBBPF_OPTS(bpf_map_create_opts, options);

	created->inner_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "toascope_none", 4, 4, 1, nullptr));
	if (!created->inner_)
		return nullptr;
	options.inner_map_fd = created->inner_.get();
	created->outer_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "toascope_wait", 4, 4, 1, &options));
	return created->outer_ ? created : nullptr;
}

int GracePeriod::synchronize() const
{
	const __u32 slot = 0;
	const int inner = inner_.get();
	return bpf_map_update_elem(outer_.get(), &slot, &inner, BPF_ANY) ? errno : 0;
}

// synchronize() -> a promise
Napi::Value BpfObject::synchronize(const Napi::CallbackInfo &info)
{
	if (!loaded_->skeleton)
		throw system_error(info.Env(), EBADF, "use", "a closed BPF object");
	auto *worker = new Wait(info.Env(), grace_period_);
	Napi::Promise promise = worker->promise();
	worker->Queue();
	return promise;
}

// synchronizeBlocking()
void BpfObject::synchronize_blocking(const Napi::CallbackInfo &info)
{
	if (!loaded_->skeleton)
		throw system_error(info.Env(), EBADF, "use", "a closed BPF object");
	const int error = grace_period_->synchronize();
	if (error)
		throw system_error(info.Env(), error, "wait for", "a grace period");
}

} // namespace toascope
