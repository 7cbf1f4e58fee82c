// SPDX-License-Identifier: GPL-2.0-only
/*
 * Shows the counters as files: toa_stats as in the vendor's module, toa_counters with all of ours.
 */
#include <linux/cpumask.h>
#include <linux/kernel.h>
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include <net/net_namespace.h>
#include "toa_count.h"
#include "toa_hook.h"
#include "toa_proc.h"
#include "toa_store.h"

#define STATS "toa_stats"
#define COUNTERS "toa_counters"
#define PARTS_MAX 4

DEFINE_PER_CPU(struct toa_counts, toa_counts);

static const char *const names[TOA_COUNTS] = {
	[TOA_COUNT_TOA] = "verdict_toa",
	[TOA_COUNT_NONE] = "verdict_none",
	[TOA_COUNT_MALFORMED] = "verdict_malformed",
	[TOA_COUNT_UNTRUSTED] = "verdict_untrusted",
	[TOA_COUNT_CONFLICT] = "verdict_conflict",
	[TOA_COUNT_ON_SYN] = "option_on_syn",
	[TOA_COUNT_ON_ACK] = "option_on_ack",
	[TOA_COUNT_ON_DATA] = "option_on_data",
	[TOA_COUNT_ASKED_OK] = "asked_ok",
	[TOA_COUNT_ASKED_NONE] = "asked_none",
	[TOA_COUNT_ASKED_SHORT] = "asked_short",
	[TOA_COUNT_ASKED_IPV4] = "asked_ipv4",
	[TOA_COUNT_ALLOCATED] = "objects_allocated",
	[TOA_COUNT_FREED] = "objects_freed",
	[TOA_COUNT_NO_MEMORY] = "drop_no_memory",
	[TOA_COUNT_FULL] = "drop_full",
	[TOA_COUNT_LOST_RACE] = "lost_race",
	[TOA_COUNT_REPAIRED] = "repaired",
	[TOA_COUNT_STALE] = "stale",
	[TOA_COUNT_SYN_EVICTED] = "syn_evicted",
};

/* A row of the vendor's file: the sum of some of our counters. */
struct row {
	const char *name;
	u8 parts;
	u8 part[PARTS_MAX];
};

static const struct row rows[] = {
	{ "syn_recv_sock_toa", 2, { TOA_COUNT_TOA, TOA_COUNT_CONFLICT } },
	{ "syn_recv_sock_no_toa", 3, { TOA_COUNT_NONE, TOA_COUNT_MALFORMED, TOA_COUNT_UNTRUSTED } },
	{ "getname_toa_ok", 1, { TOA_COUNT_ASKED_OK } },
	{ "getname_toa_mismatch", 0, {} },
	{ "getname_toa_bypass", 1, { TOA_COUNT_ASKED_SHORT } },
	{ "getname_toa_empty", 2, { TOA_COUNT_ASKED_NONE, TOA_COUNT_ASKED_IPV4 } },
	{ "ip6_address_alloc", 1, { TOA_COUNT_ALLOCATED } },
	{ "ip6_address_free", 1, { TOA_COUNT_FREED } },
};

static unsigned long row_on_cpu(const struct row *row, int cpu)
{
	unsigned long sum = 0;
	int i;

	for (i = 0; i < row->parts; i++)
		sum += per_cpu(toa_counts, cpu).count[row->part[i]];
	return sum;
}

static int show_stats(struct seq_file *seq, void *unused)
{
	int i, cpu;

	seq_printf(seq, "%34s", "");
	for_each_online_cpu(cpu) seq_printf(seq, "CPU%d       ", cpu);
	seq_putc(seq, '\n');
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		seq_printf(seq, "%-25s:", rows[i].name);
		for_each_online_cpu(cpu) seq_printf(seq, "%10lu ", row_on_cpu(&rows[i], cpu));
		seq_putc(seq, '\n');
	}
	return 0;
}

/* Shows a line for each counter: its name, a space, and the sum over all CPUs. */
static int show_counters(struct seq_file *seq, void *unused)
{
	int i, cpu;

	for (i = 0; i < TOA_COUNTS; i++) {
		unsigned long sum = 0;

		for_each_possible_cpu(cpu)
			sum += per_cpu(toa_counts, cpu).count[i];
		seq_printf(seq, "%s %lu\n", names[i], sum);
	}
	seq_printf(seq, "connections %d\n", toa_store_count());
	toa_hook_show_missed(seq);
	return 0;
}

int toa_proc_setup(void)
{
	if (!proc_create_single(STATS, 0444, init_net.proc_net, show_stats))
		return -EEXIST;
	if (!proc_create_single(COUNTERS, 0444, init_net.proc_net, show_counters)) {
		remove_proc_entry(STATS, init_net.proc_net);
		return -EEXIST;
	}
	return 0;
}

void toa_proc_teardown(void)
{
	remove_proc_entry(COUNTERS, init_net.proc_net);
	remove_proc_entry(STATS, init_net.proc_net);
}
