// SPDX-License-Identifier: Apache-2.0
/**
 * A guest with this machine's / as its root (what it writes stays in its memory). It runs steps,
 * and reports the result of each test.
 */
import { randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type GuestRoot, Machine } from './machine.ts';
import type { Fetched } from './packages.ts';
import { Report } from './report.ts';

/** A command that the guest runs; its exit code must be 0. */
export interface Step {
	readonly name: string;
	readonly command: readonly string[];
}

export interface Task {
	readonly fetched: Fetched;
	readonly steps: readonly Step[];
	/** The directory for the initramfs, the steps and the serial log. */
	readonly directory: string;
	/** The time limit of this guest. */
	readonly limitSeconds: number;
	/** The guest's root, if it is not this machine's /. */
	readonly root?: GuestRoot;
	/** Additional words for the kernel's command line. */
	readonly kernelArguments?: readonly string[];
	/** Additional arguments for QEMU. */
	readonly machineArguments?: readonly string[];
	/** Called for each line that belongs to a test. */
	readonly onLine?: (line: string) => void;
}

export interface Outcome {
	readonly report: Report;
	/** The file with the whole serial output. */
	readonly log: string;
}

const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/** Resolves when the guest has ended, for whatever reason. @throws Error if it cannot be started */
export async function runGuest({ steps, limitSeconds, onLine = () => {}, ...options }: Task): Promise<Outcome> {
	const proof = randomBytes(16).toString('hex');
	const file = join(options.directory, 'steps');
	mkdirSync(options.directory, { recursive: true });
	const lines = steps.map(({ name, command }) => `step ${[name, ...command].map(quote).join(' ')}\n`);
	writeFileSync(file, lines.join(''));
	const script = join(import.meta.dirname, 'guest.sh');
	const machine = await Machine.start({ ...options, script, words: { steps: file, proof }, limitSeconds });
	const report = new Report();
	let proven = false;
	for await (const line of machine.lines()) {
		if (report.read(line)) onLine(line);
		if (line === `toascope: all passed ${proof}`) proven = true;
	}
	if (!proven && report.failed === 0) {
		const step = report.steps.at(-1);
		const where = step === undefined ? 'before its first step' : `in or after the step ${step.name}`;
		const how = machine.late ? `did not end within ${limitSeconds} s` : 'ended without its proof';
		report.problems.push(`the guest ${how}, ${where}`);
	}
	return { report, log: machine.log };
}
