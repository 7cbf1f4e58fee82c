/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the daemon sets before it loads the programs: sizes from the configuration, and what it
 * probed of this kernel. The verifier treats these as constants, so it never sees the branch that
 * they exclude.
 */
#ifndef TOASCOPE_CFG_H
#define TOASCOPE_CFG_H

#include <linux/types.h>

struct cfg {
	__u32 connection_slots; /* connections.max, a power of two */
	__u32 listener_slots;   /* listeners.max */
	__u32 listener_rows;    /* rows of counters of each listener */
	__u32 prefix_slots;     /* of one row of prefix_clients, a power of two */
	__u32 transparent_bit;  /* INET_FLAGS_TRANSPARENT; 0: the kernel has no such enumerator */
	__u8 from_module;       /* the provider: toa.ko reads the options, and none is read here */
	/* From here on: by probe. */
	__u8 can_set_error; /* a getsockopt program can return an error of its own */
	__u8 mptcp_helpers; /* bpf_skc_to_mptcp_sock() in sockops programs */
	__u8 task_helpers; /* bpf_get_current_task_btf() and bpf_task_pt_regs(), in getpeername programs too */
	__u8 kernel_reads;  /* kernel memory can be read by address; lockdown=confidentiality forbids it */
	__u8 tracing_locks; /* programs of type tracing can take locks, and have socket storage */
	__u8 reserved[2];
};

#ifdef __bpf__
/* Defined in sockops.bpf.c. */
extern const volatile struct cfg cfg;
#endif

#endif
