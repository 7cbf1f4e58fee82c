// SPDX-License-Identifier: Apache-2.0
// The state of the addon for each environment: a worker thread has its own.
#pragma once

#include <napi.h>

namespace toascope
{

struct InstanceData {
	// The class of map handles.
	Napi::FunctionReference map;
};

} // namespace toascope
