// SPDX-License-Identifier: Apache-2.0
// Finds what is attached on the hooks that toascope uses.
#pragma once

#include <napi.h>

namespace toascope
{

Napi::Value attached_programs(const Napi::CallbackInfo &info);
Napi::Value attached_links(const Napi::CallbackInfo &info);
Napi::Value program_maps(const Napi::CallbackInfo &info);

} // namespace toascope
