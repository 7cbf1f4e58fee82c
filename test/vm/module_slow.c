// SPDX-License-Identifier: Apache-2.0
/* Makes functions of the kernel slow. */
#define _GNU_SOURCE
#include <err.h>
#include <sched.h>
#include <stdio.h>
#include "module_case.h"

void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		err(1, "CPU %d", cpu);
}

void add_slow_probes(const char *function, int count)
{
	char text[4096];
	int i, j;

	for (i = 0; i < count; i++) {
		int length = sprintf(text, "p:toascope/slow%d %s", i, function);

		/* every kernel has symbols of functions, but not of data (CONFIG_KALLSYMS_ALL) */
		for (j = 0; j < 32; j++)
			length += sprintf(text + length, " @schedule:x8[64]");
		sprintf(text + length, "\n");
		append_file(TRACING "kprobe_events", text);
	}
	write_file(TRACING "events/toascope/enable", "1");
}

void remove_slow_probes(void)
{
	write_file(TRACING "events/toascope/enable", "0");
	write_file(TRACING "kprobe_events", "\n");
	write_file(TRACING "trace", "\n");
}
