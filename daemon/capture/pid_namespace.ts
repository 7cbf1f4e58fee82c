// SPDX-License-Identifier: Apache-2.0
/** Whether the kernel's numbers of processes are those of this process's /proc and system calls. */
import { statSync } from 'node:fs';

/** Inode number of the first pid namespace: PROC_PID_INIT_INO (linux/proc_ns.h), on every host. */
const initialPidNamespace = 0xeffffffc;

/** What helps. */
export const runInHostPids = "run toascope in the host's pid namespace (docker run --pid=host, hostPID in Kubernetes)";

/**
 * BPF programs know processes by their number in the host's first pid namespace. False: this process lives in another one, where
 * such a number is nobody's, or another process's.
 */
export function pidsAreKernels(path = '/proc/self/ns/pid'): boolean {
	try {
		return statSync(path).ino === initialPidNamespace;
	} catch {
		// no pid namespaces in this kernel, or no /proc: then nothing is read there anyway
		return true;
	}
}
