// SPDX-License-Identifier: GPL-2.0-only
/*
 * toa.ko: gives applications the client's real address from the TOA option.
 *
 * hook -> segment -> verdict -> store -> sockopt, stats, trace
 */
#define pr_fmt(fmt) "TOA: " fmt

#include <linux/module.h>
#include "toa_hook.h"
#include "toa_profiles.h"
#include "toa_sockopt.h"
#include "toa_stats.h"
#include "toa_store.h"
#include "toa_trust.h"

static int __init toa_init(void)
{
	int failed;

	failed = toa_trust_setup();
	if (failed)
		return failed;
	failed = toa_profiles_setup();
	if (failed)
		return failed;
	failed = toa_store_setup();
	if (failed)
		return failed;
	failed = toa_stats_setup();
	if (failed)
		goto teardown_store;
	failed = toa_hook_setup();
	if (failed)
		goto teardown_stats;
	/* the last that can fail: nobody waits for a getsockopt() that still runs in a module that did not load */
	failed = toa_sockopt_setup();
	if (failed) {
		pr_err("getsockopt 4096 is another module's: %d\n", failed);
		goto teardown_hook;
	}
	pr_info("toa loaded\n");
	return 0;

teardown_hook:
	toa_hook_teardown();
teardown_stats:
	toa_stats_teardown();
teardown_store:
	toa_store_teardown();
	return failed;
}

static void __exit toa_exit(void)
{
	toa_sockopt_teardown();
	toa_hook_teardown();
	toa_stats_teardown();
	toa_store_teardown();
	pr_info("toa unloaded\n");
}

module_init(toa_init);
module_exit(toa_exit);

MODULE_DESCRIPTION("Gives applications the client's real address from the TOA option of TCP");
MODULE_AUTHOR("toascope");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("GPL");
