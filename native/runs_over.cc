// SPDX-License-Identifier: Apache-2.0
// Waiting until the programs that are running have come to their end.
#include "runs_over.h"

#include <bpf/bpf.h>

#include <cerrno>

#include "errors.h"
#include "object.h"

namespace toascope
{

namespace
{

// The wait, off the event loop. The object may be closed meanwhile: the maps live as long as somebody waits.
class Wait : public Napi::AsyncWorker
{
public:
	Wait(Napi::Env env, std::shared_ptr<RunsOver> with)
		: Napi::AsyncWorker(env), deferred_(Napi::Promise::Deferred::New(env)), with_(std::move(with))
	{
	}

	Napi::Promise promise() const
	{
		return deferred_.Promise();
	}

protected:
	void Execute() override
	{
		error_ = with_->wait();
	}

	void OnOK() override
	{
		if (error_)
			deferred_.Reject(
				system_error(Env(), error_, "wait for", "programs that are running").Value());
		else
			deferred_.Resolve(Env().Undefined());
	}

private:
	Napi::Promise::Deferred deferred_;
	std::shared_ptr<RunsOver> with_;
	int error_ = 0;
};

} // namespace

std::shared_ptr<RunsOver> RunsOver::create()
{
	auto made = std::make_shared<RunsOver>();
	LIBBPF_OPTS(bpf_map_create_opts, options);

	made->inner_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY, "toascope_none", 4, 4, 1, nullptr));
	if (!made->inner_)
		return nullptr;
	options.inner_map_fd = made->inner_.get();
	made->outer_ = Fd(bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "toascope_wait", 4, 4, 1, &options));
	return made->outer_ ? made : nullptr;
}

int RunsOver::wait() const
{
	const __u32 place = 0;
	const int inner = inner_.get();
	return bpf_map_update_elem(outer_.get(), &place, &inner, BPF_ANY) ? errno : 0;
}

// runsOver() -> a promise
Napi::Value BpfObject::runs_over(const Napi::CallbackInfo &info)
{
	if (!skeleton_)
		throw system_error(info.Env(), EBADF, "use", "a closed BPF object");
	auto *worker = new Wait(info.Env(), runs_over_);
	Napi::Promise promise = worker->promise();
	worker->Queue();
	return promise;
}

// waitForRuns()
void BpfObject::wait_for_runs(const Napi::CallbackInfo &info)
{
	if (!skeleton_)
		throw system_error(info.Env(), EBADF, "use", "a closed BPF object");
	const int error = runs_over_->wait();
	if (error)
		throw system_error(info.Env(), error, "wait for", "programs that are running");
}

} // namespace toascope
