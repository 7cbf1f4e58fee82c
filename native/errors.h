// SPDX-License-Identifier: Apache-2.0
// Failures as JavaScript sees them: Error with code, errno, op, target, and the verifier's last lines.
#pragma once

#include <napi.h>

#include <string>

namespace toascope
{

// The name of an error number ("EPERM"), "UNKNOWN" where it has none, and "" for 0.
const char *errno_name(int number);

// The code is errno's name ("EPERM"). number may be negative, as libbpf returns it.
Napi::Error system_error(Napi::Env env, int number, const std::string &op, const std::string &target);

// libbpf's messages on this thread since the scope began: the verifier's log is among them.
class LogCapture
{
public:
	LogCapture();
	~LogCapture();
	LogCapture(const LogCapture &) = delete;
	LogCapture &operator=(const LogCapture &) = delete;

	// The last lines, without the program's disassembly being cut in the middle.
	std::string last_lines(size_t count) const;
	// The program that libbpf named last, or an empty string.
	std::string program() const;

private:
	std::string text_;
	std::string *outer_; // captures may nest
};

} // namespace toascope
