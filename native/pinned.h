// SPDX-License-Identifier: Apache-2.0
// Access to pinned maps and links that do not belong to our object, but to another version.
#pragma once

#include <napi.h>

namespace toascope
{

Napi::Value pinned_map(const Napi::CallbackInfo &info);
Napi::Value map_by_id(const Napi::CallbackInfo &info);
void detach_links(const Napi::CallbackInfo &info);
Napi::Value client_generations(const Napi::CallbackInfo &info);

} // namespace toascope
