// SPDX-License-Identifier: Apache-2.0
#include "errors.h"

#include <bpf/libbpf.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>

namespace toascope
{
namespace
{

// Captures only on the calling thread: worker threads load objects of their own.
thread_local std::string *captured = nullptr;

// Errors internal to the kernel (include/linux/errno.h): libc does not know them, but bpf(2)
// returns them.
constexpr struct {
	int number;
	const char *name;
} kernel_errors[] = {
	{ 524, "ENOTSUPP" }, // the kernel or the architecture lacks this type of map or program
};

constexpr size_t log_limit = 1 << 20;

int print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (!captured || level == LIBBPF_DEBUG || captured->size() > log_limit)
		return 0;
	va_list copy;
	va_copy(copy, arguments);
	int length = vsnprintf(nullptr, 0, format, copy);
	va_end(copy);
	if (length <= 0)
		return 0;
	size_t at = captured->size();
	captured->resize(at + length + 1);
	vsnprintf(captured->data() + at, length + 1, format, arguments);
	captured->resize(at + length);
	return length;
}

} // namespace

const char *errno_name(int number)
{
	if (!number)
		return "";
	for (const auto &error : kernel_errors)
		if (error.number == number)
			return error.name;
	const char *name = strerrorname_np(number);
	return name ? name : "UNKNOWN";
}

Napi::Error system_error(Napi::Env env, int number, const std::string &op, const std::string &target)
{
	number = std::abs(number);
	std::string message = op + " " + target + ": " + strerror(number);
	Napi::Error error = Napi::Error::New(env, message);
	error.Set("code", Napi::String::New(env, errno_name(number)));
	error.Set("errno", Napi::Number::New(env, number));
	error.Set("op", Napi::String::New(env, op));
	error.Set("target", Napi::String::New(env, target));
	return error;
}

LogCapture::LogCapture()
{
	static std::once_flag once;
	std::call_once(once, [] { libbpf_set_print(print); });
	outer_ = captured;
	captured = &text_;
}

LogCapture::~LogCapture()
{
	captured = outer_;
}

std::string LogCapture::last_lines(size_t count) const
{
	std::string text = text_;
	while (!text.empty() && text.back() == '\n')
		text.pop_back();
	size_t at = text.size();
	while (count-- && at && at != std::string::npos)
		at = text.rfind('\n', at - 1);
	return at == std::string::npos || at == 0 ? text : text.substr(at + 1);
}

std::string LogCapture::program() const
{
	const std::string mark = "prog '";
	size_t at = text_.rfind(mark);
	if (at == std::string::npos)
		return "";
	at += mark.size();
	return text_.substr(at, text_.find('\'', at) - at);
}

} // namespace toascope
