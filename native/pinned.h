// SPDX-License-Identifier: Apache-2.0
// What is pinned and belongs to no object of ours: maps and links of another version.
#pragma once

#include <napi.h>

namespace toascope
{

Napi::Value pinned_map(const Napi::CallbackInfo &info);
Napi::Value map_by_id(const Napi::CallbackInfo &info);
void detach_links(const Napi::CallbackInfo &info);
Napi::Value client_tags(const Napi::CallbackInfo &info);

} // namespace toascope
