// SPDX-License-Identifier: GPL-2.0-only
/*
 * toa.ko: provides applications with the client's real address, from the TOA option.
 *
 * hook -> segment -> verdict -> store -> sockopt, count, proc, trace
 */
#define pr_fmt(fmt) "TOA: " fmt

#include <linux/module.h>
#include "toa_hook.h"
#include "toa_proc.h"
#include "toa_profiles_param.h"
#include "toa_sockopt.h"
#include "toa_store.h"
#include "toa_trust.h"

static int __init toa_init(void)
{
	int err;

	err = toa_trust_check_complete();
	if (err)
		return err;
	err = toa_profiles_param_setup();
	if (err)
		return err;
	err = toa_store_setup();
	if (err)
		return err;
	err = toa_proc_setup();
	if (err)
		goto teardown_store;
	err = toa_hook_setup();
	if (err)
		goto teardown_proc;
	/*
	 * register last: if a later step failed, nothing would wait for getsockopt() calls that are
	 * already running in this module
	 */
	err = toa_sockopt_setup();
	if (err) {
		pr_err("getsockopt(4096) is already registered by another module: %d\n", err);
		goto teardown_hook;
	}
	pr_info("toa loaded\n");
	return 0;

teardown_hook:
	toa_hook_teardown();
teardown_proc:
	toa_proc_teardown();
teardown_store:
	toa_store_teardown();
	return err;
}

static void __exit toa_exit(void)
{
	toa_sockopt_teardown();
	toa_hook_teardown();
	toa_proc_teardown();
	toa_store_teardown();
	pr_info("toa unloaded\n");
}

module_init(toa_init);
module_exit(toa_exit);

MODULE_DESCRIPTION("Gives applications the client's real address from the TOA option of TCP");
MODULE_AUTHOR("toascope");
MODULE_VERSION("0.1.0");
MODULE_LICENSE("GPL");
