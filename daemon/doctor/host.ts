// SPDX-License-Identifier: Apache-2.0
/** What the host offers before any program is tried: kernel, BTF, privileges, mounts, lockdown, JIT. */
import { existsSync, readFileSync } from 'node:fs';
import { findBpffs, findCgroup2, isCgroup2, type Mount } from '../capture/mounts.ts';
import { missingCapabilities } from '../capture/privileges.ts';
import type { Config } from '../config/config.ts';
import { type Check, check } from './check.ts';

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
	/** Whether a path exists. */
	readonly exists: (path: string) => boolean;
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

export function hostChecks(host: Host, config: Config): Check[] {
	return [
		check('kernel', 'Kernel', 'ok', `${host.kernel} (${host.machine})`),
		btf(host),
		privileges(host),
		cgroup(host, config),
		bpffs(host, config),
		lockdown(host),
		jit(host),
	];
}

function btf({ hasBtf }: Host): Check {
	const path = '/sys/kernel/btf/vmlinux';
	return hasBtf
		? check('btf', 'Kernel types (BTF)', 'ok', path)
		: check('btf', 'Kernel types (BTF)', 'fail', `${path} is missing`, 'use a kernel built with CONFIG_DEBUG_INFO_BTF');
}

function privileges({ status }: Host): Check {
	const missing = missingCapabilities(status);
	return missing.length === 0
		? check('privileges', 'Privileges', 'ok', 'may load and attach eBPF programs')
		: check(
				'privileges',
				'Privileges',
				'fail',
				`this process lacks ${missing.join(', ')}`,
				'run it as root, or give these capabilities to the service; what needs them could not be tried here',
			);
}

function cgroup({ mounts, exists }: Host, config: Config): Check {
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
	const chosen = config.cgroup;
	if (chosen === undefined) return check('cgroup', title, 'ok', root);
	if (!exists(chosen)) {
		const advice = `set cgroup to a directory below ${root}, or take the key out to serve the whole host`;
		return check('cgroup', title, 'fail', `${chosen} does not exist`, advice);
	}
	return isCgroup2(mounts, chosen)
		? check('cgroup', title, 'ok', `${chosen} (sockets outside of it are not seen)`)
		: check('cgroup', title, 'fail', `${chosen} is not on cgroup v2`, `set cgroup to a directory below ${root}`);
}

function bpffs({ mounts, exists }: Host, config: Config): Check {
	const title = 'bpffs';
	const { pin } = config.bpf;
	if (pin === undefined) {
		return check('bpffs', title, 'ok', 'not used: bpf.pin is off', 'a daemon that ends starts again from zero');
	}
	const mount = findBpffs(mounts, pin);
	if (mount?.readOnly === true) {
		const advice = `mount -o remount,rw ${mount.point}, or set bpf.pin to off`;
		return check('bpffs', title, 'fail', `${mount.point} is read-only`, advice);
	}
	if (mount !== undefined) return check('bpffs', title, 'ok', mount.point);
	if (pin.startsWith(`${bpffsPoint}/`) && exists(bpffsPoint)) {
		const advice = `toascope run mounts it, which takes CAP_SYS_ADMIN; or: mount -t bpf bpf ${bpffsPoint}`;
		return check('bpffs', title, 'warn', `not mounted at ${bpffsPoint}`, advice);
	}
	return check(
		'bpffs',
		title,
		'fail',
		`${pin} is not on a bpffs`,
		`set bpf.pin to a directory below ${bpffsPoint}, or mount one: mount -t bpf bpf DIRECTORY`,
	);
}

function lockdown({ lockdown: text }: Host): Check {
	const mode = /\[(\w+)\]/.exec(text ?? '')?.[1];
	if (mode === undefined) return check('lockdown', 'Kernel lockdown', 'ok', 'not told by this kernel');
	const advice = mode === 'none' ? undefined : 'eBPF goes on working; a kernel module would have to be signed';
	return check('lockdown', 'Kernel lockdown', 'ok', mode, advice);
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
		hasBtf: existsSync('/sys/kernel/btf/vmlinux'),
		status: readFileSync('/proc/self/status', 'utf8'),
		mounts,
		lockdown: readText('/sys/kernel/security/lockdown'),
		jit: readText('/proc/sys/net/core/bpf_jit_enable'),
		exists: existsSync,
	};
}
