// SPDX-License-Identifier: Apache-2.0
/** What is attached in the kernel: all that the daemon should have, and who else is on the same hooks. */
import type { Neighbours, OtherToascope } from '../capture/neighbours.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';
import type { Status } from './status.ts';

/** Names in one line. */
const namedMax = 5;

/** What the daemon found when it last asked the kernel. */
export function attachedChecks({ attachments, not_ready: reasons = [] }: Status): Check[] {
	if (attachments === undefined || attachments.length === 0) return [];
	const title = 'Attached programs';
	const missing = attachments.filter(({ attached }) => !attached).map(({ program }) => program);
	if (missing.length === 0) return [check('attached', title, 'ok', `all ${attachments.length} of the daemon`)];
	const isOff = reasons.some(({ reason }) => reason === 'programs_switched_off');
	const isDetached = reasons.some(({ reason }) => reason === 'programs_detached' || reason === 'cgroup_missing');
	const advice = isOff ? (isDetached ? `${switchedOff}; others: ${detached}` : switchedOff) : detached;
	return [check('attached', title, 'fail', `not attached: ${missing.join(', ')}`, advice)];
}

const detached =
	'somebody detached them, or the cgroup is gone: the daemon attaches them again once it can, and its log says why it cannot';

const switchedOff =
	'they are attached, and the kernel does not run them, since its tracing of functions is switched off; switch it on: sysctl kernel.ftrace_enabled=1';

/** \`found\` undefined: this user may not ask. */
export function neighbourChecks(found: Neighbours | undefined, values: Values): Check[] {
	const title = 'Also on these hooks';
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
	return checks.length > 0 ? checks : [check('also_attached', title, 'ok', 'no one else')];
}

function leftBehind({ cgroup, programs }: OtherToascope): Check {
	const names = programs.map(({ name, id }) => `${name} (id ${id})`).join(', ');
	return check(
		'left_behind',
		'Left attached',
		'warn',
		`programs of a toascope that does not run any more are attached at ${cgroup}: ${names}`,
		'they go on by its settings; another mount may hide their pins: umount it, or detach each link that `bpftool link show` has with such a prog_id: bpftool link detach id LINK',
	);
}

function otherDaemon({ cgroup, pids, trust }: OtherToascope, own: readonly string[]): Check {
	const who = `another toascope (pid ${pids?.join(', ') ?? 'not to be seen from here'}) is attached at ${cgroup}`;
	const title = 'Another daemon';
	if (trust !== undefined && trust.join() === own.join()) {
		return check('other_daemon', title, 'ok', `${who}, with the same trust`);
	}
	const theirs = trust === undefined ? 'its trust cannot be read' : `it trusts ${trust.join(', ') || 'every sender'}`;
	const advice =
		'sockets of both are answered by either: the laxer one answers getsockopt(4096) for connections that the other counts as untrusted; give both the same trust, or cgroups that do not overlap';
	return check('other_daemon', title, 'warn', `${who}; ${theirs}`, advice);
}
