// SPDX-License-Identifier: Apache-2.0
/** What is attached in the kernel: the daemon's own programs, and others on the same hooks. */
import type { Neighbours, OtherToascope } from '../capture/neighbours.ts';
import type { Status } from '../client/status.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';

/** Names that one finding lists. */
const namedMax = 5;

/** Whether the daemon's programs are attached, as the daemon last read it from the kernel. */
export function attachedChecks({ attachments, not_ready: reasons = [] }: Status): Check[] {
	if (attachments === undefined || attachments.length === 0) return [];
	const title = 'Attached programs';
	const missing = attachments.filter(({ attached }) => !attached).map(({ program }) => program);
	if (missing.length === 0) return [check('attached', title, 'ok', `all ${attachments.length} are attached`)];
	const isOff = reasons.some(({ reason }) => reason === 'programs_switched_off');
	const isDetached = reasons.some(({ reason }) => reason === 'programs_detached' || reason === 'cgroup_missing');
	const advice = isOff ? (isDetached ? `${switchedOff}; others: ${detached}` : switchedOff) : detached;
	return [check('attached', title, 'fail', `not attached: ${missing.join(', ')}`, advice)];
}

const detached =
	'they were detached from outside, or the cgroup was removed: the daemon attaches them again as soon as it can, and its log says why it cannot yet';

const switchedOff =
	'they are attached, but the kernel does not run them because function tracing is off; switch it on: sysctl kernel.ftrace_enabled=1';

/** `found` undefined: this user is not permitted to list attached programs. */
export function otherProgramChecks(found: Neighbours | undefined, values: Values): Check[] {
	const title = 'Other programs attached';
	if (found === undefined) return [];
	const trust = [...(values['trust'] as readonly string[])].toSorted();
	const checks = [
		...found.toascopes.filter(({ pids }) => pids?.length === 0).map((each) => leftBehind(each)),
		...found.toascopes.filter(({ pids }) => pids?.length !== 0).map((each) => otherDaemon(each, trust)),
	];
	if (found.others.length > 0) {
		const names = found.others.map(({ hook, name, id, cgroup }) => `${name} (${hook}, id ${id}, at ${cgroup})`);
		const more = names.length > namedMax ? ` and ${names.length - namedMax} more` : '';
		checks.push(check('also_attached', title, 'ok', `${names.slice(0, namedMax).join(', ')}${more}`));
	}
	return checks.length > 0 ? checks : [check('also_attached', title, 'ok', 'none')];
}

function leftBehind({ cgroup, programs }: OtherToascope): Check {
	const names = programs.map(({ name, id }) => `${name} (id ${id})`).join(', ');
	return check(
		'left_behind',
		'Left attached',
		'warn',
		`programs of a toascope that no longer runs are attached at ${cgroup}: ${names}`,
		'they still run with its settings; if another mount hides their pins, unmount it; otherwise detach each link that `bpftool link show` lists with one of these IDs as its prog_id: bpftool link detach id LINK',
	);
}

function otherDaemon({ cgroup, pids, trust }: OtherToascope, own: readonly string[]): Check {
	const daemon = `another toascope (pid ${pids?.join(', ') ?? 'not visible from here'}) is attached at ${cgroup}`;
	const title = 'Another daemon';
	if (trust !== undefined && trust.join() === own.join()) {
		return check('other_daemon', title, 'ok', `${daemon}, with the same trust`);
	}
	const theirs = trust === undefined ? 'its trust cannot be read' : `it trusts ${trust.join(', ') || 'every sender'}`;
	const advice =
		'both answer for the sockets that they share: the less strict one answers getsockopt(4096) for connections that the other counts as untrusted; give both the same trust, or cgroups that do not overlap';
	return check('other_daemon', title, 'warn', `${daemon}; ${theirs}`, advice);
}
