/* SPDX-License-Identifier: GPL-2.0-only */
/* Where the module hangs in the kernel. Nothing of the kernel's is written to. */
#ifndef TOA_HOOK_H
#define TOA_HOOK_H

struct seq_file;

/* All hooks, or none and the negative error. */
int toa_hook_setup(void);

/* Afterwards no hook runs, on any CPU. */
void toa_hook_teardown(void);

/* What the kernel could not call, a line for each probe. */
void toa_hook_show_missed(struct seq_file *seq);

#endif
