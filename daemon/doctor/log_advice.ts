// SPDX-License-Identifier: Apache-2.0
/** Where to read the log of a daemon. */
import { readFileSync } from 'node:fs';

/** Contents of `/proc/PID/cgroup`; undefined: the process has ended, or is not visible. */
export type CgroupReader = (pid: number) => string | undefined;

const readCgroup: CgroupReader = (pid) => {
	try {
		return readFileSync(`/proc/${pid}/cgroup`, 'utf8');
	} catch {
		return undefined;
	}
};

/**
 * The advice to read the log. systemd keeps the log of a unit; a daemon started by hand writes to
 * its standard error. `pid` undefined: the process is unknown, so both are named. Only a unit named
 * toascope* counts, because a daemon started from a shell can be in the unit of sshd.
 */
export function logAdvice(pid: number | undefined, read: CgroupReader = readCgroup): string {
	if (pid === undefined) return 'see its log (standard error; of the systemd unit: journalctl -u toascope)';
	const unit = /\/(toascope[^/\n]*)\.service$/m.exec(read(pid) ?? '')?.[1];
	return unit === undefined ? 'see its log (standard error)' : `see its log: journalctl -u ${unit}`;
}
