// SPDX-License-Identifier: Apache-2.0
/*
 * Tests toa.ko in a guest with real segments. Arguments: toa.ko; the vectors, one line each with
 * name, profiles, segment, options, verdict, family, address and port, separated by tabs; and
 * no_memory.ko.
 */
#include <err.h>
#include <stddef.h>
#include "module_case.h"

const char *module_file, *vectors_file, *no_memory_file;
int wire;

int main(int count, char **arguments)
{
	static const struct test tests[] = {
		{ "the contract: every listener, every option", contract },
		{ "the contract in another network namespace", contract_elsewhere },
		{ "invalid pointers", wrong_pointers },
		{ "MPTCP listeners", multipath },
		{ "sockets of other protocols", other_protocols },
		{ "IPv4 clients are refused", ipv4_refused },
		{ "the option on later segments", later_segments },
		{ "the option on the SYN", on_the_syn },
		{ "both with SYN cookies", with_cookies },
		{ "Fast Open", fast_open },
		{ "trust", trust },
		{ "profiles", profiles },
		{ "the vectors", vectors },
		{ "sockets that are reused", another_connection },
		{ "counters", counters },
		{ "the vendor's layout", vendor_layout },
		{ "tracepoints", tracepoints },
		{ "connections that all probes miss", missed_calls },
		{ "a connection that one of two probes misses", return_probe_missed },
		{ "a probe that is interrupted", interrupted_probe },
		{ "a handshake that two CPUs complete", lost_race },
		{ "no memory", no_memory },
		{ "loads that fail", failed_loads },
		{ "more connections than the limit", full },
	};

	if (count != 4)
		errx(2, "usage: module_test TOA.KO VECTORS NO_MEMORY.KO");
	module_file = arguments[1];
	vectors_file = arguments[2];
	no_memory_file = arguments[3];
	wire = wire_open("wire0");
	if (module_load(module_file, ""))
		err(1, "loading %s", module_file);
	return run_tests("module", tests, sizeof(tests) / sizeof(tests[0]));
}
