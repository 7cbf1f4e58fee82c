// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace toascope
{

Napi::Value probe_module(const Napi::CallbackInfo &info);

} // namespace toascope
