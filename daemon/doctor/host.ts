// SPDX-License-Identifier: Apache-2.0
/** The host before any program is loaded: kernel, BTF, privileges, mounts, lockdown, JIT. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { constant } from '../capture/records/layout.gen.ts';
import { btfPath, missingBtf } from '../host/btf.ts';
import { type CompatServer, findCompatServers } from '../host/compat_servers.ts';
import { readText } from '../host/files.ts';
import { findBpffs, findCgroup2, isCgroup2, isRootCgroup, type Mount } from '../host/mounts.ts';
import { hostPidNamespaceHint, isInitialPidNamespace } from '../host/pid_namespace.ts';
import { missingCapabilities } from '../host/privileges.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';
import { type ModuleFacts, readModuleFacts } from './module.ts';

/** What is read from the host; undefined: missing or not readable. */
export interface Host {
	readonly kernel: string;
	readonly machine: string;
	readonly hasBtf: boolean;
	/** Text of /proc/self/status. */
	readonly status: string;
	readonly mounts: readonly Mount[];
	readonly lockdown: string | undefined;
	readonly jit: string | undefined;
	/** For the doctor's own process, which is run where the daemon runs. See pid_namespace.ts. */
	readonly inInitialPidNamespace: boolean;
	readonly module: ModuleFacts;
	/** 32-bit programs that listen, on whichever port. */
	readonly compatServers: readonly CompatServer[];
	/** Whether a path exists. */
	readonly exists: (path: string) => boolean;
	/** The permission bits of a path; undefined: it does not exist. */
	readonly mode?: (path: string) => number | undefined;
	/** Whether a directory of cgroup v2 is the host's root cgroup. */
	readonly isRootCgroup: (path: string) => boolean;
}

const bpffsPoint = '/sys/fs/bpf';

/** `runs`: a daemon is running, so this process needs no privileges of its own. */
export function hostChecks(host: Host, values: Values, runs: boolean): Check[] {
	return [
		check('kernel', 'Kernel', 'ok', `${host.kernel} (${host.machine})`),
		btf(host),
		privileges(host, runs),
		...pidNamespace(host),
		cgroup(host, values),
		bpffs(host, values),
		...(runs ? [] : leftAttached(host, values)),
		lockdown(host),
		jit(host),
	];
}

function btf({ hasBtf, exists }: Host): Check {
	if (hasBtf) return check('btf', 'Kernel types (BTF)', 'ok', btfPath);
	const { found, advice } = missingBtf(exists('/sys/kernel'));
	return check('btf', 'Kernel types (BTF)', 'fail', found, advice);
}

function privileges({ status }: Host, runs: boolean): Check {
	const title = 'Privileges';
	const missing = missingCapabilities(status);
	if (missing.length === 0) return check('privileges', title, 'ok', 'can load and attach eBPF programs');
	const found = `this process lacks ${missing.join(', ')}`;
	if (runs) return check('privileges', title, 'ok', `${found}; the daemon has what it needs`);
	const advice = 'run it as root, or grant the service these capabilities; checks that need them were skipped here';
	return check('privileges', title, 'fail', found, advice);
}

/** No finding in the host's PID namespace. */
function pidNamespace({ inInitialPidNamespace }: Host): Check[] {
	if (inInitialPidNamespace) return [];
	const found = 'not the initial PID namespace: process IDs from the kernel do not match /proc';
	return [check('pid_namespace', 'PID namespace', 'warn', found, hostPidNamespaceHint)];
}

function cgroup({ mounts, exists, isRootCgroup: isRoot }: Host, values: Values): Check {
	const title = 'cgroup v2';
	const root = findCgroup2(mounts);
	if (root === undefined) {
		return check(
			'cgroup',
			title,
			'fail',
			'not mounted',
			'mount -t cgroup2 none /sys/fs/cgroup/unified, or boot with systemd.unified_cgroup_hierarchy=1',
		);
	}
	const chosen = values.cgroup as string | null;
	if (chosen === null) {
		if (isRoot(root)) return check('cgroup', title, 'ok', root);
		const advice = "this is a container's root: give the container the host's cgroup namespace and /sys/fs/cgroup";
		const found = `${root} is not the root cgroup of this host: sockets outside it are not observed`;
		return check('cgroup', title, 'warn', found, advice);
	}
	if (!exists(chosen)) {
		if (!isCgroup2(mounts, chosen)) {
			const advice = `set cgroup to a directory below ${root}, or remove the key to cover the whole host`;
			return check('cgroup', title, 'fail', `${chosen} does not exist`, advice);
		}
		const advice =
			'start the service that this cgroup belongs to: the daemon attaches once the cgroup exists; or correct the key';
		return check('cgroup', title, 'warn', `${chosen} does not exist yet: nothing is observed until it does`, advice);
	}
	return isCgroup2(mounts, chosen)
		? check('cgroup', title, 'ok', `${chosen} (sockets outside it are not observed)`)
		: check('cgroup', title, 'fail', `${chosen} is not on cgroup v2`, `set cgroup to a directory below ${root}`);
}

function bpffs({ mounts, exists, mode }: Host, values: Values): Check {
	const title = 'bpffs';
	const pin = values['bpf.pin'] as string;
	if (pin === 'off')
		return check('bpffs', title, 'ok', 'not used: bpf.pin is off, so counters start from zero at each start');
	const mount = findBpffs(mounts, pin);
	if (mount?.point === pin) {
		const advice = `set bpf.pin to a directory below it, such as ${join(pin, 'toascope')}`;
		return check('bpffs', title, 'fail', `${pin} is itself a bpffs mount, where other programs pin too`, advice);
	}
	if (mount?.readOnly === true) {
		const advice = `mount -o remount,rw ${mount.point}, or set bpf.pin to off`;
		return check('bpffs', title, 'fail', `${mount.point} is read-only`, advice);
	}
	if (mount !== undefined) return writableBy(mount.point, mode?.(mount.point));
	if (pin.startsWith(`${bpffsPoint}/`) && exists(bpffsPoint)) {
		const advice = `toascope run mounts it, which requires CAP_SYS_ADMIN; or: mount -t bpf -o mode=0700 bpf ${bpffsPoint}`;
		return check('bpffs', title, 'warn', `not mounted at ${bpffsPoint}`, advice);
	}
	return check(
		'bpffs',
		title,
		'fail',
		`${pin} is not on a bpffs`,
		`set bpf.pin to a directory below ${bpffsPoint}, or mount one: mount -t bpf -o mode=0700 bpf DIRECTORY`,
	);
}

function writableBy(point: string, mode: number | undefined): Check {
	const title = 'bpffs';
	if (mode === undefined || (mode & 0o002) === 0) return check('bpffs', title, 'ok', point);
	const found = `every user can write to ${point} (mode ${(mode & 0o7777).toString(8)}), and occupy or move pins there`;
	const advice = `chmod 0700 ${point}; in future, mount it with: mount -t bpf -o mode=0700 bpf ${point}`;
	return check('bpffs', title, 'warn', found, advice);
}

/** Programs of a daemon that was killed, or that kept them (on_exit: keep). */
function leftAttached({ exists }: Host, values: Values): Check[] {
	const pin = values['bpf.pin'] as string;
	if (pin === 'off' || !exists(`${pin}/v${constant.TOASCOPE_LAYOUT}/links`)) return [];
	const found = `programs of a daemon that was killed, or kept them on exit, are pinned in ${pin}: they still run with its settings`;
	const advice =
		'toascope run adopts them, or says which daemon has them; if none does, this detaches them: toascope detach';
	return [check('left_attached', 'Still attached', 'warn', found, advice)];
}

function lockdown({ lockdown: text }: Host): Check {
	const mode = /\[(\w+)\]/.exec(text ?? '')?.[1];
	if (mode === undefined) return check('lockdown', 'Kernel lockdown', 'ok', 'not reported by this kernel');
	const follows = mode === 'none' ? '' : ': eBPF still works; a kernel module must be signed';
	return check('lockdown', 'Kernel lockdown', 'ok', `${mode}${follows}`);
}

function jit({ jit: value }: Host): Check {
	if (value === undefined) return check('jit', 'BPF JIT', 'ok', 'not visible in this network namespace');
	return value === '0'
		? check('jit', 'BPF JIT', 'warn', 'off: programs are interpreted', 'sysctl -w net.core.bpf_jit_enable=1')
		: check('jit', 'BPF JIT', 'ok', 'on');
}

export function readHost(kernel: string, machine: string, mounts: readonly Mount[]): Host {
	return {
		kernel,
		machine,
		hasBtf: existsSync(btfPath),
		status: readFileSync('/proc/self/status', 'utf8'),
		mounts,
		lockdown: readText('/sys/kernel/security/lockdown'),
		jit: readText('/proc/sys/net/core/bpf_jit_enable'),
		module: readModuleFacts(kernel),
		compatServers: findCompatServers('all'),
		exists: existsSync,
		mode: (path) => statSync(path, { throwIfNoEntry: false })?.mode,
		isRootCgroup,
		inInitialPidNamespace: isInitialPidNamespace(),
	};
}
