// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run soak -- [--minutes N] [--seed N]`: docs/testing.md describes the test. Prints a line for
 * each fault and each check, and at the end `N passed, N failed`. Exit code 0: nothing failed; 1:
 * something failed; 2: wrong usage.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitCode, ToascopeError } from '../../daemon/errors.ts';
import { soak } from './soak.ts';

const defaultMinutes = 10;

function readArguments(): { minutes: number; seed: number } {
	const hint = 'usage: npm run soak -- [--minutes N] [--seed N]';
	try {
		const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } });
		const minutes = Number(values.minutes ?? defaultMinutes);
		const seed = Number(values.seed ?? Date.now() % 2 ** 31);
		if (!(minutes > 0) || !Number.isInteger(seed)) throw new Error('--minutes and --seed must be numbers');
		return { minutes, seed };
	} catch (error) {
		throw new ToascopeError('USAGE', (error as Error).message, { hint });
	}
}

process.env.PATH = `${join(import.meta.dirname, '../../build/tools/bin')}:${process.env.PATH}`;
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
	process.once(signal, () => interrupted.abort(new ToascopeError('LAB_FAILED', `ended by ${signal}`)));
}
try {
	const { minutes, seed } = readArguments();
	const began = performance.now();
	const say = (text: string) =>
		console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(8)} s  ${text}`);
	console.log(`${minutes} minutes, seed ${seed}`);
	const checks = await soak({ minutes, seed, say, signal: interrupted.signal });
	const failed = checks.filter(({ ok }) => !ok);
	if (failed.length > 0) console.log('');
	for (const { name, detail } of failed) console.log(`FAILED  ${name}: ${detail}`);
	console.log(`\n${checks.length - failed.length} passed, ${failed.length} failed`);
	process.exitCode = failed.length === 0 ? 0 : exitCode.failed;
} catch (error) {
	const reason: unknown = interrupted.signal.aborted ? interrupted.signal.reason : error;
	if (!(reason instanceof ToascopeError)) throw reason;
	console.error(`soak: ${reason.message}${reason.hint === undefined ? '' : `\n${reason.hint}`}`);
	process.exitCode = reason.exitCode;
}
