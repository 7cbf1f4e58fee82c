// SPDX-License-Identifier: Apache-2.0
// Checks the arguments of JavaScript callers before they are used.
#pragma once

#include <napi.h>

#include <cstdint>
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

// Returns a whole number from 0 to 2^32-1. Throws a TypeError that names the argument.
inline uint32_t uint32_of(Napi::Env env, const Napi::Value &value, const char *what)
{
	const double number = value.IsNumber() ? value.As<Napi::Number>().DoubleValue() : -1;
	if (number < 0 || number > UINT32_MAX || number != static_cast<uint32_t>(number))
		throw Napi::TypeError::New(env, std::string(what) + ": a whole number expected");
	return static_cast<uint32_t>(number);
}

} // namespace toascope
