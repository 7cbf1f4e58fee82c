/* SPDX-License-Identifier: GPL-2.0-only */
/* Attaches the module to the kernel, none of whose data it writes to. */
#ifndef TOA_HOOK_H
#define TOA_HOOK_H

struct seq_file;

/* Attaches all hooks, or none and returns the negative error. */
int toa_hook_setup(void);

/* After this, no hook runs on any CPU. */
void toa_hook_teardown(void);

/* Shows how many calls the kernel missed, one line for each probe. */
void toa_hook_show_missed(struct seq_file *seq);

#endif
