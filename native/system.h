// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <napi.h>

namespace toascope
{

void notify(const Napi::CallbackInfo &info);
Napi::Value write_now(const Napi::CallbackInfo &info);
Napi::Value lock(const Napi::CallbackInfo &info);
void mount_bpffs(const Napi::CallbackInfo &info);
void unmount(const Napi::CallbackInfo &info);
Napi::Value monotonic_ns(const Napi::CallbackInfo &info);

} // namespace toascope
