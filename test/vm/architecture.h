/* SPDX-License-Identifier: Apache-2.0 */
/* Differences between the processors and kernels of the architectures that the tests run on. */
#ifndef TOASCOPE_TEST_VM_ARCHITECTURE_H
#define TOASCOPE_TEST_VM_ARCHITECTURE_H

#include <stdbool.h>

#if defined(__x86_64__)

#define GETPPID "__x64_sys_getppid"
/* Kprobes at the beginning of a function use ftrace, and depend on its switch. */
#define PROBES_BY_FTRACE true
/* Interrupts can arrive while the handler of a kprobe runs. */
#define PROBES_INTERRUPTED true
/* A processor that QEMU emulates lets the other one run at this instruction. */
#define LET_OTHER_CPU_RUN() __builtin_ia32_pause()

#elif defined(__aarch64__)

#define GETPPID "__arm64_sys_getppid"
/*
 * The tests do not touch the switch, either: after it was off with toa.ko loaded, 6.1 calls no
 * function that is registered with ftrace.
 */
#define PROBES_BY_FTRACE false
#define PROBES_INTERRUPTED false
#define LET_OTHER_CPU_RUN() __asm__ volatile("yield" ::: "memory")

#endif

#endif
