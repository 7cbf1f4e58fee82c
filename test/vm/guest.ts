// SPDX-License-Identifier: Apache-2.0
/**
 * Boots a kernel of the matrix in QEMU, with this machine's / as its root (what it writes stays in its memory), and sees
 * what its tests say.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { createWriteStream, globSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Fetched } from './packages.ts';
import { Report } from './report.ts';
import { run } from './run.ts';

const here = import.meta.dirname;
/** What Node compiles in a guest; all guests share it. */
const nodeCache = join(here, '../../build/vm/node');

/** A command that the guest runs; its exit code must be 0. */
export interface Step {
	readonly name: string;
	readonly command: readonly string[];
}

export interface Task {
	readonly fetched: Fetched;
	readonly steps: readonly Step[];
	/** Where the initramfs, the steps and the serial log go. */
	readonly directory: string;
	/** The guest's own limit. */
	readonly limitSeconds: number;
	/** More for the kernel's command line. */
	readonly kernelArguments?: readonly string[];
	/** Called for each line of the tests. */
	readonly onLine?: (line: string) => void;
}

export interface Outcome {
	readonly report: Report;
	/** The whole of the serial line. */
	readonly log: string;
	readonly seconds: number;
}

// Two processors, but one thread of QEMU for both: up to QEMU 8.0 two threads may run code that the other has just
// patched (mended by "accel/tcg: Always lock pages before translation"), and the kernel patches itself for each probe.
const machine = ['-accel', 'tcg,thread=single', '-smp', '2', '-cpu', 'max', '-m', '3072', '-nographic', '-no-reboot'];

const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/** Resolves when the guest has ended, however it did. @throws Error when it cannot be started. */
export async function runGuest(task: Task): Promise<Outcome> {
	const { fetched, directory, limitSeconds, onLine = () => {} } = task;
	const begun = performance.now();
	mkdirSync(directory, { recursive: true });
	mkdirSync(nodeCache, { recursive: true });
	const [initramfs, steps, log] = ['initramfs', 'steps', 'serial.log'].map((name) => join(directory, name)) as [
		string,
		string,
		string,
	];
	const proof = randomBytes(16).toString('hex');
	writeFileSync(
		steps,
		task.steps.map(({ name, command }) => `step ${[name, ...command].map(quote).join(' ')}\n`).join(''),
	);
	await run('sh', [join(here, 'initramfs.sh'), fetched.image, fetched.release, initramfs]);
	const [image] = globSync(['boot/vmlinuz*', 'usr/lib/modules/*/vmlinuz'], { cwd: fetched.image });
	if (image === undefined) throw new Error(`${fetched.release}: no kernel in ${fetched.image}`);
	const line = [
		'console=ttyS0 panic=-1 quiet',
		`toascope.script=${join(here, 'guest.sh')} toascope.steps=${steps} toascope.proof=${proof}`,
		...(task.kernelArguments ?? []),
	];
	const qemu = spawn(
		'qemu-system-x86_64',
		[
			...machine,
			...['-kernel', join(fetched.image, image), '-initrd', initramfs, '-append', line.join(' ')],
			...['-virtfs', 'local,path=/,mount_tag=hostroot,security_model=none,readonly=on,multidevs=remap'],
			...['-virtfs', `local,path=${nodeCache},mount_tag=node,security_model=none`],
		],
		{ stdio: ['ignore', 'pipe', 'inherit'] },
	);
	const file = createWriteStream(log);
	const limit = setTimeout(() => qemu.kill('SIGKILL'), limitSeconds * 1000);
	const report = new Report();
	let proven = false;
	try {
		for await (const raw of createInterface({ input: qemu.stdout })) {
			const text = raw.replace(/\r/g, '');
			file.write(`${text}\n`);
			if (report.read(text)) onLine(text);
			if (text === `toascope: all passed ${proof}`) proven = true;
		}
	} finally {
		clearTimeout(limit);
		file.end();
	}
	if (!proven && report.failed === 0) {
		const step = report.steps.at(-1);
		const where = step === undefined ? 'before its first step' : `in or after the step ${step.name}`;
		const how = qemu.signalCode === 'SIGKILL' ? `had no end after ${limitSeconds} s` : 'ended without proof';
		report.troubles.push(`the guest ${how}, ${where}`);
	}
	return { report, log, seconds: (performance.now() - begun) / 1000 };
}
