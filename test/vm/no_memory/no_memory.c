// SPDX-License-Identifier: GPL-2.0-only
/*
 * While it is loaded, kmem_cache_alloc() returns NULL to callers between `begin` and `end`, the
 * code of another module. Kernels of distributions are built without fault injection
 * (CONFIG_FAILSLAB), and a kprobe does not run within the handler of another one.
 */
#include <linux/ftrace.h>
#include <linux/module.h>
#include <linux/ptrace.h>
#include <linux/version.h>

static unsigned long begin, end;
module_param(begin, ulong, 0);
module_param(end, ulong, 0);

static void *return_null(void)
{
	return NULL;
}

#if LINUX_VERSION_CODE < KERNEL_VERSION(5, 11, 0)
#define FLAGS FTRACE_OPS_FL_RECURSION_SAFE
typedef struct pt_regs registers;
#define pt_regs_of(registers) (registers)
#else
#define FLAGS 0
typedef struct ftrace_regs registers;
#define pt_regs_of(registers) ftrace_get_regs(registers)
#endif

static void notrace on_call(unsigned long ip, unsigned long parent, struct ftrace_ops *ops, registers *regs)
{
	if (parent >= begin && parent < end)
		instruction_pointer_set(pt_regs_of(regs), (unsigned long)return_null);
}

static struct ftrace_ops ops = {
	.func = on_call,
	.flags = FTRACE_OPS_FL_SAVE_REGS | FTRACE_OPS_FL_IPMODIFY | FLAGS,
};

static int __init no_memory_init(void)
{
	/* its names since 6.10, and before */
	static char *const names[] = { "kmem_cache_alloc_noprof", "kmem_cache_alloc" };
	int i, err = -ENOENT;

	for (i = 0; err && i < ARRAY_SIZE(names); i++)
		err = ftrace_set_filter(&ops, (unsigned char *)names[i], strlen(names[i]), 1);
	return err ? err : register_ftrace_function(&ops);
}

static void __exit no_memory_exit(void)
{
	unregister_ftrace_function(&ops);
	ftrace_set_filter(&ops, NULL, 0, 1);
}

module_init(no_memory_init);
module_exit(no_memory_exit);

MODULE_DESCRIPTION("Makes allocations of one module fail, for tests");
MODULE_LICENSE("GPL");
