// SPDX-License-Identifier: Apache-2.0
/** Boots a kernel of the matrix in QEMU, with this machine's / as its read-only root, and sees what its tests say. */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, globSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Fetched } from './packages.ts';
import { run } from './run.ts';

const here = import.meta.dirname;

export interface Task {
	readonly fetched: Fetched;
	readonly module: string;
	readonly programs: string;
	/** How often the module is loaded and unloaded under traffic. */
	readonly times: number;
	/** Where the initramfs and the serial log go. */
	readonly directory: string;
	/** The guest's own limit. */
	readonly limitSeconds: number;
}

export interface Outcome {
	readonly passed: boolean;
	/** What failed, in the guest's words; or how it ended. */
	readonly why: readonly string[];
	/** The whole of the serial line. */
	readonly log: string;
	readonly seconds: number;
}

// Two processors, but one thread of QEMU for both: up to QEMU 8.0 two threads may run code that the other has just
// patched (mended by "accel/tcg: Always lock pages before translation"), and the kernel patches itself for each probe.
const machine = ['-accel', 'tcg,thread=single', '-smp', '2', '-cpu', 'max', '-m', '2048', '-nographic', '-no-reboot'];

const ownWords = /^(ok |not ok| {2}\S+\.c:\d+: |toascope: |module_\w+: |\w+: \d+ passed)/;
const endWords = /Kernel panic|BUG: |Oops/;

export async function runGuest(task: Task): Promise<Outcome> {
	const { fetched, directory, limitSeconds } = task;
	const begun = performance.now();
	const initramfs = join(directory, 'initramfs');
	const log = join(directory, 'serial.log');
	const proof = randomBytes(16).toString('hex');
	await run('sh', [join(here, 'initramfs.sh'), fetched.image, fetched.release, initramfs]);
	const [image] = globSync(['boot/vmlinuz*', 'usr/lib/modules/*/vmlinuz'], { cwd: fetched.image });
	if (image === undefined) throw new Error(`${fetched.release}: no kernel in ${fetched.image}`);
	const words = {
		script: join(here, 'guest.sh'),
		module: task.module,
		programs: task.programs,
		times: task.times,
		proof,
	};
	const line = [
		'console=ttyS0 panic=-1 quiet',
		...Object.entries(words).map(([name, value]) => `toascope.${name}=${value}`),
	];
	const qemu = spawn(
		'qemu-system-x86_64',
		[
			...machine,
			...['-kernel', join(fetched.image, image), '-initrd', initramfs, '-append', line.join(' ')],
			...['-virtfs', 'local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap'],
		],
		{ stdio: ['ignore', 'pipe', 'inherit'] },
	);
	const file = createWriteStream(log);
	const limit = setTimeout(() => qemu.kill('SIGKILL'), limitSeconds * 1000);
	const why: string[] = [];
	let proven = false;
	try {
		for await (const raw of createInterface({ input: qemu.stdout })) {
			const text = raw.replace(/\r/g, '');
			file.write(`${text}\n`);
			if (ownWords.test(text)) console.log(`    ${text}`);
			if (/^not ok/.test(text) || endWords.test(text)) why.push(text);
			if (text === `toascope: all passed ${proof}`) proven = true;
		}
	} finally {
		clearTimeout(limit);
		file.end();
	}
	if (!proven && why.length === 0) {
		why.push(
			qemu.signalCode === 'SIGKILL' ? `no end after ${limitSeconds} s` : 'it ended without saying that all passed',
		);
	}
	return { passed: proven && why.length === 0, why, log, seconds: (performance.now() - begun) / 1000 };
}
