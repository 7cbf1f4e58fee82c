// SPDX-License-Identifier: Apache-2.0
/*
 * The one system call of @toascope/node, as a Node-API addon: getsockopt(fd, IPPROTO_IP, 4096).
 *
 * It is linked against no library: the symbols of Node-API, getsockopt() and __errno_location() are
 * those of the process that loads it, so one binary serves glibc and musl, and each Node with
 * Node-API. For the same reason it includes no header of a C library, which makes it possible to
 * build it for another architecture without that architecture's files. It has no static state:
 * each environment (worker thread) has its own buffer for the answer.
 */
#include <node_api.h>

extern int getsockopt(int fd, int level, int option, void *value, unsigned int *length);
/* glibc and musl; errno is a macro for what it returns */
extern int *__errno_location(void);

#define IPPROTO_IP 0
#define ENOPROTOOPT 92
/* kernel/toa_rules.h of toascope */
#define TOA_SO_GET_LOOKUP 4096
/* struct toa_nat64_peer: IPv6 address, port in network order, two bytes of padding */
#define ANSWER_SIZE 20

/* lookup(fd: number): number. Returns 0 if the answer is in the buffer, otherwise the errno. */
static napi_value lookup(napi_env env, napi_callback_info info)
{
	unsigned int length = ANSWER_SIZE;
	napi_value argument, result;
	size_t arguments = 1;
	void *answer;
	int32_t fd;
	int err = 0;

	if (napi_get_cb_info(env, info, &arguments, &argument, 0, &answer) != napi_ok ||
	    napi_get_value_int32(env, argument, &fd) != napi_ok)
		return 0;
	if (getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, answer, &length))
		err = *__errno_location();
	else if (length != ANSWER_SIZE)
		err = ENOPROTOOPT; /* the answer is that of something else */
	return napi_create_int32(env, err, &result) == napi_ok ? result : 0;
}

/* Exports lookup(), and the ArrayBuffer `answer` that it writes to. */
NAPI_MODULE_INIT()
{
	napi_value buffer, function;
	napi_ref reference;
	void *answer;

	/* The reference keeps the buffer for as long as the environment exists: lookup() writes to it. */
	if (napi_create_arraybuffer(env, ANSWER_SIZE, &answer, &buffer) != napi_ok ||
	    napi_create_reference(env, buffer, 1, &reference) != napi_ok ||
	    napi_create_function(env, "lookup", NAPI_AUTO_LENGTH, lookup, answer, &function) != napi_ok ||
	    napi_set_named_property(env, exports, "answer", buffer) != napi_ok ||
	    napi_set_named_property(env, exports, "lookup", function) != napi_ok)
		return 0;
	return exports;
}
