// SPDX-License-Identifier: Apache-2.0
/* What applications see: every kind of listener, every kind of option. */
#define _GNU_SOURCE
#include <err.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "module_case.h"

/* What getsockopt() fails with; 0: it does not. */
static int refusal(int fd, int level, int name)
{
	uint8_t bytes[32];
	socklen_t length = sizeof(bytes);

	return getsockopt(fd, level, name, bytes, &length) ? errno : 0;
}

static void check_refusals(int fd, const char *kind)
{
	uint8_t bytes[32], untouched[32];
	socklen_t length = 19;

	memset(untouched, 0xa5, sizeof(untouched));
	memcpy(bytes, untouched, sizeof(bytes));
	CHECK(getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, bytes, &length) == -1 && errno == EINVAL,
	      "%s: 19 bytes", kind);
	CHECK(!memcmp(bytes, untouched, sizeof(bytes)), "%s: the buffer stays as it was", kind);
	length = sizeof(bytes);
	if (!getsockopt(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP, bytes, &length)) {
		CHECK_NUMBER(length, 20, "%s: of a larger buffer", kind);
		CHECK(!memcmp(bytes + 20, untouched + 20, 12), "%s: no more than 20 bytes are written", kind);
	}
	CHECK_NUMBER(refusal(fd, IPPROTO_IPV6, TOA_SO_GET_LOOKUP), refusal(fd, IPPROTO_IPV6, 4000),
		     "%s: another level", kind);
	CHECK_NUMBER(refusal(fd, IPPROTO_IP, TOA_SO_GET_LOOKUP + 1), ENOPROTOOPT, "%s: another option", kind);
}

void section5(void)
{
	static const struct {
		const char *name;
		int listens, family;
		bool six_only;
	} kinds[] = {
		{ "AF_INET", AF_INET, 4, false },
		{ "dual-stack, IPv4", AF_INET6, 4, false },
		{ "dual-stack, IPv6", AF_INET6, 6, false },
		{ "IPv6 only", AF_INET6, 6, true },
	};
	static const char *const options[][2] = { { NAT64, NAT64_SAYS }, { TOA4, TOA4_SAYS }, { "", "-" } };
	size_t i, j;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		uint16_t port;
		int listener = listen_on(kinds[i].listens, kinds[i].six_only, &port);

		for (j = 0; j < sizeof(options) / sizeof(options[0]); j++) {
			struct host host = wire_host(kinds[i].family, port);
			int fd = connection(listener, &host, "", options[j][0]);

			expect_said(fd, options[j][1], kinds[i].name);
			check_refusals(fd, kinds[i].name);
			end(fd, &host);
		}
		close(listener);
	}
}

void section5_elsewhere(void)
{
	pid_t child = fork();
	int status;

	if (!child) {
		checks_failed = 0;
		if (unshare(CLONE_NEWNET))
			err(1, "a network namespace");
		wire = wire_open("wire1");
		section5();
		_exit(checks_failed > 0);
	}
	waitpid(child, &status, 0);
	CHECK_NUMBER(status, 0, "in another network namespace");
}
