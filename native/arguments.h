// SPDX-License-Identifier: Apache-2.0
// Checks the arguments of JavaScript callers before they are used.
#pragma once

#include <napi.h>

#include <string>

namespace toascope
{

// Returns a typed array of at least that many bytes. Throws a TypeError or RangeError that names
// the argument.
inline Napi::Uint8Array bytes_of(Napi::Env env, const Napi::Value &value, size_t at_least, const char *what)
{
	if (!value.IsTypedArray())
		throw Napi::TypeError::New(env, std::string(what) + ": Uint8Array expected");
	auto array = value.As<Napi::Uint8Array>();
	if (array.ByteLength() < at_least)
		throw Napi::RangeError::New(env, std::string(what) + ": " + std::to_string(at_least) +
							 " bytes expected, " +
							 std::to_string(array.ByteLength()) + " given");
	return array;
}

} // namespace toascope
