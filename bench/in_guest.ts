// SPDX-License-Identifier: Apache-2.0
/** Runs a part of the bench in a virtual machine: a script that writes one line, `NAME: JSON`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ToascopeError } from '../daemon/errors.ts';
import { runGuest, type Task } from '../test/vm/guest.ts';
import { type Kernel, kernels } from '../test/vm/kernels.ts';
import { missingRequirement } from '../test/vm/matrix.ts';
import { type Fetched, fetchKernel } from '../test/vm/packages.ts';
import type { Plan } from './result.ts';

export const tree = join(import.meta.dirname, '..');
const limitSeconds = 1800;

/** The part cannot be measured on this machine. The message says why. */
export class PartUnavailable extends Error {}

export interface GuestOptions extends Pick<Task, 'kernelArguments' | 'machineArguments'> {
	/** The name of a kernel of the matrix. */
	readonly kernelName: string;
	/** Returns the command that the guest runs. */
	readonly prepare: (kernel: Kernel, fetched: Fetched) => Promise<readonly string[]>;
}

export interface GuestResult<T> {
	readonly result: T;
	/** As `uname -r` prints it. */
	readonly release: string;
}

/**
 * @throws {PartUnavailable} if QEMU, the kernel, or something that `prepare` requires is missing
 * @throws {ToascopeError} LAB_FAILED with the failures that the guest reported
 */
export async function runInGuest<T>(
	plan: Plan,
	name: string,
	{ kernelName, prepare, ...machine }: GuestOptions,
): Promise<GuestResult<T>> {
	const missing = missingRequirement();
	if (missing !== undefined) throw new PartUnavailable(missing);
	const kernel = kernels.find((each) => each.name === kernelName);
	if (kernel === undefined) throw new PartUnavailable(`no kernel ${kernelName} in the matrix`);
	plan.say(`${name}: fetching packages`);
	const { fetched, command } = await (async () => {
		const sources = await fetchKernel(kernel);
		return { fetched: sources, command: await prepare(kernel, sources) };
	})().catch((error: Error) => {
		throw new PartUnavailable(error.message.split('\n', 1)[0] ?? '', { cause: error });
	});
	plan.say(`${name}: running a virtual machine`);
	const directory = join(tree, 'build/bench', name);
	const { report, log } = await runGuest({ ...machine, fetched, steps: [{ name, command }], directory, limitSeconds });
	const [line] = readFileSync(log, 'utf8').match(new RegExp(`(?<=^${name}: ).*$`, 'm')) ?? [];
	if (line === undefined || report.failed > 0) {
		const problems = [...report.problems, ...report.steps.flatMap(({ failures }) => failures)].join('; ');
		throw new ToascopeError('LAB_FAILED', `the guest failed: ${problems}; see ${log}`);
	}
	return { result: JSON.parse(line) as T, release: fetched.release };
}
