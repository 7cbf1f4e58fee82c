// SPDX-License-Identifier: Apache-2.0
/* Parameters: what they accept, what they refuse, and their effects. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "module_case.h"

void trust(void)
{
	static const struct {
		const char *networks, *host;
		int family;
		bool trusted;
	} cases[] = {
		{ "198.18.0.0/16,2001:db8:f::/64", "198.18.1.1", 4, true },
		{ "198.18.0.0/16,2001:db8:f::/64", "198.19.1.1", 4, false },
		{ "10.0.0.0/8, 198.18.3.0/25 ,198.18.0.0/24\n", "198.18.3.127", 4, true },
		{ "10.0.0.0/8,198.18.3.0/25,198.18.0.0/24", "198.18.3.128", 4, false },
		{ "2001:db8:f::/127", "2001:db8:f::1", 6, true },
		{ "2001:db8:f::/127", "2001:db8:f::2", 6, false },
		{ "::/0", "198.18.1.1", 4, false },
		{ "0.0.0.0/0", "198.18.1.1", 4, true },
		{ "0.0.0.0/0", "2001:db8:f::1", 6, false },
		{ "198.18.0.0/16,198.18.1.0/24,198.18.7.0/24", "198.18.3.1", 4, true },
		{ "", "198.18.1.1", 4, true },
	};
	static const char *const wrong[] = { "10.0.0.1/8",  "10.0.0.0",
					     "010.0.0.0/8", "::ffff:10.0.0.0/104",
					     "10.0.0.0/33", "2001:db8::1/64",
					     "x",           "10.0.0.0/8,,10.1.0.0/16",
					     "::/129" };
	char long_list[4090] = "";
	uint16_t port;
	int listener = listen_on(AF_INET6, false, &port), fd;
	size_t i, length = 0;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct host host = wire_host_at(cases[i].family, cases[i].host, port);

		CHECK_EQ(parameter_write("trust", *cases[i].networks ? cases[i].networks : "\n"), 0, "%s",
			 cases[i].networks);
		fd = connection(listener, &host, "", NAT64);
		expect_client(fd, cases[i].trusted ? NAT64_CLIENT : "-", cases[i].networks);
		end(fd, &host);
	}
	CHECK_EQ(parameter_write("trust", "2001:db8::/32,10.0.0.0/8,10.1.0.0/16"), 0, "sorted");
	CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8,2001:db8::/32"), "%s", parameter_read("trust"));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		CHECK_EQ(parameter_write("trust", wrong[i]), -EINVAL, "%s", wrong[i]);
		CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8,2001:db8::/32"), "the old list stays: %s",
		      parameter_read("trust"));
	}
	/* the unfinished list of a writer that was killed does not become part of the next list */
	CHECK_EQ(parameter_write("trust", "192.0.2.0/24,"), 0, "a list without an end");
	CHECK_EQ(parameter_write("trust", "10.0.0.0/8"), 0, "another list");
	CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8"), "%s", parameter_read("trust"));
	CHECK_EQ(parameter_write("trust", ",10.0.0.0/8"), -EINVAL, "a later part without the first");
	/* 50 parts of 200 networks each, and the network that matters */
	for (i = 0; i < 50; i++) {
		int j;

		length = sprintf(long_list, "%s", i ? "," : "");
		for (j = 0; j < 200; j++)
			length += sprintf(long_list + length, "100.%zu.%d.0/24,", 64 + i, j);
		CHECK_EQ(parameter_write("trust", long_list), 0, "a part");
	}
	CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8"), "not in force before its end");
	CHECK_EQ(parameter_write("trust", ",198.18.9.0/24"), 0, "the last part");
	CHECK(strstr(parameter_read("trust"), " more"), "%s", parameter_read("trust"));
	for (i = 8; i < 10; i++) {
		char address[32];
		struct host host;

		snprintf(address, sizeof(address), "198.18.%zu.1", i);
		host = wire_host_at(4, address, port);
		fd = connection(listener, &host, "", NAT64);
		expect_client(fd, i == 9 ? NAT64_CLIENT : "-", "10,001 networks");
		end(fd, &host);
	}
	CHECK_EQ(parameter_write("trust", "\n"), 0, "an empty list");
	close(listener);
}

void profiles(void)
{
	static const char *const wrong[] = {
		"",
		"nat65",
		"nat64,nat64",
		"own:253:20:ipv6:4:2,nat64",
		"own:8:20:ipv6:4:2",
		"own:252:5:ipv4:4",
		"own:252:41:ipv6:4",
		"own:252:20:ipv5:4:2",
		"own:252:20:ipv6:5:2",
		"own:252:20:ipv6:4:3",
		"own:252:20:ipv6:2:17",
		"nat64:252:20:ipv6:4:2",
		"Own:252:20:ipv6:4:2",
		"own:252:20:ipv6:4:2:ack",
		"own:252:20:ipv6:4:2:syn:x",
		"own:252:20:ipv6",
	};
	size_t i;

	CHECK(!strcmp(parameter_read("profiles"), DEFAULT_PROFILES), "%s", parameter_read("profiles"));
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
		CHECK_EQ(parameter_write("profiles", *wrong[i] ? wrong[i] : "\n"), -EINVAL, "%s", wrong[i]);
	CHECK(!strcmp(parameter_read("profiles"), DEFAULT_PROFILES), "%s", parameter_read("profiles"));
	CHECK_EQ(parameter_write("profiles", "own:252:20:ipv6:2:18:syn, toa4,two:28:7:ipv4:3:-\n"), 0,
		 "own profiles");
	CHECK(!strcmp(parameter_read("profiles"), "own:252:20:ipv6:2:18:syn,toa4,two:28:7:ipv4:3:-"), "%s",
	      parameter_read("profiles"));
	CHECK_EQ(parameter_write("profiles", "nat64/priority=100/pick=last,own:99:8:ipv4:4:2/pick=first\n"),
		 0, "rules");
	CHECK(!strcmp(parameter_read("profiles"),
		      "nat64/priority=100/pick=last,own:99:8:ipv4:4:2/pick=first"),
	      "%s", parameter_read("profiles"));
	CHECK_EQ(parameter_write("profiles", DEFAULT_PROFILES), 0, "profiles");
}

void failed_loads(void)
{
	CHECK_EQ(module_unload(), 0, "unloading");
	CHECK_EQ(counter("connections"), -1, "the files are gone");
	CHECK_EQ(module_load(module_file, "profiles=nat65"), -EINVAL, "an unknown profile");
	CHECK_EQ(module_load(module_file, "trust=10.0.0.0"), -EINVAL, "not a network");
	CHECK_EQ(module_load(module_file, "trust=10.0.0.0/8,"), -EINVAL, "a list without an end");
	CHECK_EQ(module_load(module_file, "trust=10.0.0.0/8 profiles=cdn4,x"), -EINVAL,
		 "an invalid one after valid ones");
	CHECK_EQ(module_load(module_file, "trust=10.0.0.0/8 profiles=cdn4"), 0, "valid ones");
	CHECK(!strcmp(parameter_read("trust"), "10.0.0.0/8"), "%s", parameter_read("trust"));
	CHECK(!strcmp(parameter_read("profiles"), "cdn4"), "%s", parameter_read("profiles"));
	CHECK_EQ(module_unload(), 0, "unloading");
	CHECK_EQ(module_load(module_file, "connections=2"), 0, "few connections");
}

void full(void)
{
	uint16_t port;
	int listener = listen_on(AF_INET, false, &port), fd[3], i;
	struct host host[3];

	for (i = 0; i < 3; i++) {
		host[i] = wire_host(4, port);
		fd[i] = connection(listener, &host[i], "", NAT64);
		expect_client(fd[i], i < 2 ? NAT64_CLIENT : "-", "room for two connections");
	}
	CHECK_EQ(counter("drop_full"), 1, "the third connection");
	end(fd[0], &host[0]);
	host[0] = wire_host(4, port);
	fd[0] = connection(listener, &host[0], "", NAT64);
	expect_client(fd[0], NAT64_CLIENT, "after one has been closed");
	for (i = 0; i < 3; i++)
		end(fd[i], &host[i]);
	close(listener);
	CHECK_EQ(module_unload(), 0, "unloading");
}
