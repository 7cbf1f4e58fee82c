// SPDX-License-Identifier: Apache-2.0
/** A part that is measured in a virtual machine: a script of the bench that writes one line, `NAME: JSON`. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ToascopeError } from '../daemon/errors.ts';
import { runGuest, type Task } from '../test/vm/guest.ts';
import { type Kernel, kernels } from '../test/vm/kernels.ts';
import { lacking } from '../test/vm/matrix.ts';
import { type Fetched, fetchKernel } from '../test/vm/packages.ts';
import type { Plan } from './result.ts';

export const tree = join(import.meta.dirname, '..');
const limitSeconds = 1800;

/** It cannot be measured on this machine; the message says why. */
export class LeftOut extends Error {}

export interface GuestOptions extends Pick<Task, 'kernelArguments' | 'machineArguments'> {
	/** Of the matrix. */
	readonly kernelName: string;
	/** Gives the command that the guest runs. */
	readonly prepare: (kernel: Kernel, fetched: Fetched) => Promise<readonly string[]>;
}

export interface GuestResult<T> {
	readonly result: T;
	/** As `uname -r` says it. */
	readonly release: string;
}

/**
 * @throws {LeftOut} without QEMU, the kernel, or what `prepare` wants
 * @throws {ToascopeError} LAB_FAILED with what the guest said
 */
export async function runInGuest<T>(
	plan: Plan,
	name: string,
	{ kernelName, prepare, ...machine }: GuestOptions,
): Promise<GuestResult<T>> {
	const missing = lacking();
	if (missing !== undefined) throw new LeftOut(missing);
	const kernel = kernels.find((each) => each.name === kernelName);
	if (kernel === undefined) throw new LeftOut(`no kernel ${kernelName} in the matrix`);
	plan.say(`${name}: packages`);
	const { fetched, command } = await (async () => {
		const sources = await fetchKernel(kernel);
		return { fetched: sources, command: await prepare(kernel, sources) };
	})().catch((error: Error) => {
		throw new LeftOut(error.message.split('\n', 1)[0] ?? '', { cause: error });
	});
	plan.say(`${name}: a virtual machine`);
	const directory = join(tree, 'build/bench', name);
	const { report, log } = await runGuest({ ...machine, fetched, steps: [{ name, command }], directory, limitSeconds });
	const [line] = readFileSync(log, 'utf8').match(new RegExp(`(?<=^${name}: ).*$`, 'm')) ?? [];
	if (line === undefined || report.failed > 0) {
		const troubles = [...report.troubles, ...report.steps.flatMap(({ failures }) => failures)].join('; ');
		throw new ToascopeError('LAB_FAILED', `the guest: ${troubles}; see ${log}`);
	}
	return { result: JSON.parse(line) as T, release: fetched.release };
}
