// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace toascope
{

Napi::Value peer_owner(const Napi::CallbackInfo &info);
Napi::Value peer_process(const Napi::CallbackInfo &info);

} // namespace toascope
