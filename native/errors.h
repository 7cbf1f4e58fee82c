// SPDX-License-Identifier: Apache-2.0
// Failures as JavaScript sees them: an Error with code, errno, op and target, and with the last
// lines of the verifier.
#pragma once

#include <napi.h>

#include <string>

namespace toascope
{

// Returns the name of an error number ("EPERM"), "UNKNOWN" if it has none, and "" for 0.
const char *errno_name(int number);

// Creates an error whose code is errno's name ("EPERM"). `number` can be negative, as libbpf
// returns it.
Napi::Error system_error(Napi::Env env, int number, const std::string &op, const std::string &target);

// Captures libbpf's messages on this thread during its lifetime; they include the verifier's log.
class LogCapture
{
public:
	LogCapture();
	~LogCapture();
	LogCapture(const LogCapture &) = delete;
	LogCapture &operator=(const LogCapture &) = delete;

	// Returns the last lines, without cutting a line of the program's disassembly.
	std::string last_lines(size_t count) const;
	// Returns the program that libbpf named last, or an empty string.
	std::string program() const;

private:
	std::string text_;
	std::string *outer_; // captures can nest
};

} // namespace toascope
