// SPDX-License-Identifier: Apache-2.0
/** Whether process ids in BPF programs are those of this process's /proc and system calls. */
import { statSync } from 'node:fs';

/** Inode number of the initial pid namespace on every host: PROC_PID_INIT_INO (linux/proc_ns.h). */
const initialPidNamespace = 0xeffffffc;

/** The remedy, as a hint. */
export const hostPidNamespaceHint =
	"run toascope in the host's pid namespace (docker run --pid=host, hostPID in Kubernetes)";

/**
 * BPF programs identify processes by their ids in the host's initial pid namespace. False: this
 * process runs in another one, where such an id belongs to no process or to another one.
 */
export function isInitialPidNamespace(path = '/proc/self/ns/pid'): boolean {
	try {
		return statSync(path).ino === initialPidNamespace;
	} catch {
		// no pid namespaces in this kernel, or no /proc: then nothing is read from /proc anyway
		return true;
	}
}
