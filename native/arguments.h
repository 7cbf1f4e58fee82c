// SPDX-License-Identifier: Apache-2.0
// What callers hand over, checked before it is used.
#pragma once

#include <napi.h>

#include <string>

namespace toascope
{

// The bytes of a typed array, at least so many. Throws TypeError or RangeError that names what it is for.
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
