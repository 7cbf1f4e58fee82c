// SPDX-License-Identifier: Apache-2.0
// The state of links and pins in the kernel.
#pragma once

#include <bpf/libbpf.h>
#include <napi.h>

#include <string>

namespace toascope
{

bool is_attached_to(const bpf_link *link, const std::string &cgroup);
int pin_in_place(int fd, const std::string &pin);
Napi::Value pinned_id(const Napi::CallbackInfo &info);

} // namespace toascope
