/* SPDX-License-Identifier: GPL-2.0-only */
/* The counters as files: /proc/net/toa_stats and /proc/net/toa_counters. */
#ifndef TOA_PROC_H
#define TOA_PROC_H

int toa_proc_setup(void);
void toa_proc_teardown(void);

#endif
