// SPDX-License-Identifier: Apache-2.0
/** What the host offers before any program is tried: kernel, BTF, privileges, mounts, lockdown, JIT. */
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { btfPath, missingBtf } from '../capture/btf.ts';
import { type CompatServer, findCompatServers } from '../capture/compat_servers.ts';
import { limit } from '../capture/layout.gen.ts';
import { findBpffs, findCgroup2, isCgroup2, isRootCgroup, type Mount } from '../capture/mounts.ts';
import { pidsAreKernels, runInHostPids } from '../capture/pid_namespace.ts';
import { missingCapabilities } from '../capture/privileges.ts';
import { type Check, check } from './check.ts';
import type { Values } from './configuration.ts';
import { type ModuleFacts, readModuleFacts } from './module.ts';

/** What is read of the host; undefined: not there, or not readable. */
export interface Host {
	readonly kernel: string;
	readonly machine: string;
	readonly hasBtf: boolean;
	/** Text of /proc/self/status. */
	readonly status: string;
	readonly mounts: readonly Mount[];
	readonly lockdown: string | undefined;
	readonly jit: string | undefined;
	/** See pid_namespace.ts: of the doctor, which is asked where the daemon runs. */
	readonly pidsAreKernels: boolean;
	readonly module: ModuleFacts;
	/** Those that listen on any port. */
	readonly compatServers: readonly CompatServer[];
	/** Whether a path exists. */
	readonly exists: (path: string) => boolean;
	/** The permission bits of a path; undefined: not to be seen. */
	readonly mode?: (path: string) => number | undefined;
	/** Whether a directory of cgroup v2 is the host's root. */
	readonly isRootCgroup: (path: string) => boolean;
}

const bpffsPoint = '/sys/fs/bpf';

/** The text of a file, trimmed; undefined when it cannot be read. */
export function readText(path: string): string | undefined {
	try {
		return readFileSync(path, 'utf8').trim();
	} catch {
		return undefined;
	}
}

/** `runs`: a daemon does, so that it matters less what this process may do. */
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
	if (missing.length === 0) return check('privileges', title, 'ok', 'may load and attach eBPF programs');
	const found = `this process lacks ${missing.join(', ')}`;
	if (runs) return check('privileges', title, 'ok', `${found}; the daemon has what it needs`);
	const advice = 'run it as root, or give these capabilities to the service; what needs them could not be tried here';
	return check('privileges', title, 'fail', found, advice);
}

/** Nothing to say of the usual one. */
function pidNamespace({ pidsAreKernels: usual }: Host): Check[] {
	if (usual) return [];
	const found = "of its own: the kernel's numbers of processes are not those of this /proc";
	return [check('pid_namespace', 'Pid namespace', 'warn', found, runInHostPids)];
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
		const advice = 'it is the root of a container: let it have the cgroup namespace and /sys/fs/cgroup of the host';
		return check('cgroup', title, 'warn', `${root} is not the root of this host: sockets outside are not seen`, advice);
	}
	if (!exists(chosen)) {
		if (!isCgroup2(mounts, chosen)) {
			const advice = `set cgroup to a directory below ${root}, or take the key out to serve the whole host`;
			return check('cgroup', title, 'fail', `${chosen} does not exist`, advice);
		}
		const advice =
			'start the service that it belongs to: the daemon attaches as soon as it is there; else correct the key';
		return check('cgroup', title, 'warn', `${chosen} does not exist yet: nothing is seen until it does`, advice);
	}
	return isCgroup2(mounts, chosen)
		? check('cgroup', title, 'ok', `${chosen} (sockets outside of it are not seen)`)
		: check('cgroup', title, 'fail', `${chosen} is not on cgroup v2`, `set cgroup to a directory below ${root}`);
}

function bpffs({ mounts, exists, mode }: Host, values: Values): Check {
	const title = 'bpffs';
	const pin = values['bpf.pin'] as string;
	if (pin === 'off')
		return check('bpffs', title, 'ok', 'not used: bpf.pin is off; a daemon that ends starts again from zero');
	const mount = findBpffs(mounts, pin);
	if (mount?.point === pin) {
		const advice = `set bpf.pin to a directory below it, such as ${join(pin, 'toascope')}`;
		return check('bpffs', title, 'fail', `${pin} is a bpffs itself, where others pin as well`, advice);
	}
	if (mount?.readOnly === true) {
		const advice = `mount -o remount,rw ${mount.point}, or set bpf.pin to off`;
		return check('bpffs', title, 'fail', `${mount.point} is read-only`, advice);
	}
	if (mount !== undefined) return writableBy(mount.point, mode?.(mount.point));
	if (pin.startsWith(`${bpffsPoint}/`) && exists(bpffsPoint)) {
		const advice = `toascope run mounts it, which takes CAP_SYS_ADMIN; or: mount -t bpf -o mode=0700 bpf ${bpffsPoint}`;
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
	const found = `every user may write ${point} (mode ${(mode & 0o7777).toString(8)}), and keep or move names there`;
	const advice = `chmod 0700 ${point}; and from now on: mount -t bpf -o mode=0700 bpf ${point}`;
	return check('bpffs', title, 'warn', found, advice);
}

/** Of a daemon that was killed, or that was told to keep them. */
function leftAttached({ exists }: Host, values: Values): Check[] {
	const pin = values['bpf.pin'] as string;
	if (pin === 'off' || !exists(`${pin}/v${limit.TOASCOPE_LAYOUT}/links`)) return [];
	const found = `programs pinned in ${pin}, of a daemon that was killed or left them there: they go on by its settings`;
	const advice = `toascope run goes on with them, or says which daemon has them; if none does, this detaches them: toascope detach`;
	return [check('left_attached', 'Still attached', 'warn', found, advice)];
}

function lockdown({ lockdown: text }: Host): Check {
	const mode = /\[(\w+)\]/.exec(text ?? '')?.[1];
	if (mode === undefined) return check('lockdown', 'Kernel lockdown', 'ok', 'not told by this kernel');
	const follows = mode === 'none' ? '' : ': eBPF goes on working; a kernel module would have to be signed';
	return check('lockdown', 'Kernel lockdown', 'ok', `${mode}${follows}`);
}

function jit({ jit: value }: Host): Check {
	if (value === undefined) return check('jit', 'BPF JIT', 'ok', 'not told in this network namespace');
	return value === '0'
		? check('jit', 'BPF JIT', 'warn', 'off: programs are interpreted', 'sysctl -w net.core.bpf_jit_enable=1')
		: check('jit', 'BPF JIT', 'ok', 'on');
}

/** Reads this host. */
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
		pidsAreKernels: pidsAreKernels(),
	};
}
