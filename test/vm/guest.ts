// SPDX-License-Identifier: Apache-2.0
/**
 * A guest that has this machine's / as its root (what it writes stays in its memory), runs steps there and says test by test
 * what came of them.
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
	/** Where the initramfs, the steps and the serial log go. */
	readonly directory: string;
	/** The guest's own limit. */
	readonly limitSeconds: number;
	/** Not this machine's own / as the guest's. */
	readonly root?: GuestRoot;
	/** More for the kernel's command line. */
	readonly kernelArguments?: readonly string[];
	/** More of QEMU's own. */
	readonly machineArguments?: readonly string[];
	/** Called for each line of the tests. */
	readonly onLine?: (line: string) => void;
}

export interface Outcome {
	readonly report: Report;
	/** The whole of the serial line. */
	readonly log: string;
}

const quote = (word: string) => `'${word.replaceAll("'", "'\\''")}'`;

/** Resolves when the guest has ended, however it did. @throws Error when it cannot be started. */
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
		const how = machine.late ? `had no end after ${limitSeconds} s` : 'ended without proof';
		report.troubles.push(`the guest ${how}, ${where}`);
	}
	return { report, log: machine.log };
}
