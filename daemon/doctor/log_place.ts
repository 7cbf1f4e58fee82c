// SPDX-License-Identifier: Apache-2.0
/** Where the log of a daemon is read. */
import { readFileSync } from 'node:fs';

/** Contents of `/proc/PID/cgroup`; undefined: it is gone, or not to be seen from here. */
export type CgroupReader = (pid: number) => string | undefined;

const readCgroup: CgroupReader = (pid) => {
	try {
		return readFileSync(`/proc/${pid}/cgroup`, 'utf8');
	} catch {
		return undefined;
	}
};

/**
 * The advice to read it. systemd keeps the log of a unit; a daemon that somebody started by hand writes to its standard error. `pid`
 * undefined: none is known, so both are named. A shell may be in the unit of sshd: only a unit that is toascope's by its name counts.
 */
export function whereLogIs(pid: number | undefined, read: CgroupReader = readCgroup): string {
	if (pid === undefined) return 'its log says more (standard error; of the unit: journalctl -u toascope)';
	const unit = /\/(toascope[^/\n]*)\.service$/m.exec(read(pid) ?? '')?.[1];
	return unit === undefined ? 'its log (standard error) says more' : `its log says more: journalctl -u ${unit}`;
}
