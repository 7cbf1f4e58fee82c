// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run fuzz [-- --seconds N] [--lists N] [--seed N] [--json]`: reads option lists with
 * kernel/toa_option.h and with an independent reference parser, until a limit is reached (60 s if
 * none is given; 0: no limit) or they differ. docs/testing.md has the details. Exit codes: 0
 * nothing found, 1 a finding or a failure, 2 wrong usage.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { exitCode, ToascopeError } from '../../daemon/errors.ts';
import { type Engine, type Limits, type Progress, startGenerated, startGuided } from './engines.ts';
import { asVector, type Finding, formatFinding } from './finding.ts';
import { compileFuzzer } from './programs.ts';

const folder = join(import.meta.dirname, '../../build/fuzz');
const usage = 'usage: npm run fuzz [-- --seconds N] [--lists N] [--seed N] [--json]';
const defaultSeconds = 60;

function wholeNumber(name: string, text: string | undefined): number | undefined {
	if (text === undefined) return undefined;
	if (!/^\d{1,15}$/.test(text)) {
		throw new ToascopeError('USAGE', `--${name} must be a whole number (found: "${text}")`, { hint: usage });
	}
	return Number(text);
}

function readArguments(): Limits & { readonly json: boolean } {
	let values: { seconds?: string; lists?: string; seed?: string; json: boolean };
	try {
		const options = { type: 'string' } as const;
		values = parseArgs({
			options: { seconds: options, lists: options, seed: options, json: { type: 'boolean', default: false } },
		}).values;
	} catch (error) {
		throw new ToascopeError('USAGE', (error as Error).message, { hint: usage });
	}
	const lists = wholeNumber('lists', values.lists);
	return {
		lists: lists ?? 0,
		seconds: wholeNumber('seconds', values.seconds) ?? (lists === undefined ? defaultSeconds : 0),
		seed: wholeNumber('seed', values.seed) ?? Math.floor(Math.random() * 2 ** 32),
		json: values.json,
	};
}

const number = (value: number | undefined) => (value ?? 0).toLocaleString('en');

function formatGenerated({ lists = 0, seconds = 0, ...verdicts }: Progress): string {
	const percent = (count: number) => `${((100 * count) / Math.max(lists, 1)).toFixed(0)}%`;
	const shares = Object.entries(verdicts).map(([name, count]) => `${name} ${percent(count)}`);
	return `${number(lists)} lists at random in ${seconds.toFixed(0)} s${shares.length > 0 ? `: ${shares.join(', ')}` : ''}`;
}

function formatGuided({ runs, edges, inputs }: Progress): string {
	return `${number(runs)} guided by coverage: ${number(edges)} edges, ${number(inputs)} inputs kept`;
}

/** Runs both until one ends, by a limit, a finding or `signal`, and then stops the other. */
async function race(engines: readonly Engine[], signal: AbortSignal): Promise<Finding | undefined> {
	const stopAll = () => {
		for (const engine of engines) engine.stop();
	};
	signal.addEventListener('abort', stopAll);
	if (signal.aborted) stopAll();
	await Promise.race(engines.map(({ ended }) => ended)).finally(stopAll);
	const findings = await Promise.all(engines.map(({ ended }) => ended));
	return findings.find((finding) => finding !== undefined);
}

async function fuzz(signal: AbortSignal): Promise<void> {
	const { json, ...limits } = readArguments();
	const say = (text: string) => process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
	say(`fuzz: seed ${limits.seed}; compiling`);
	const sanitizers = ['address', 'undefined'] as const;
	const lists = compileFuzzer('lists', join(folder, 'lists'), { compiler: 'clang', sanitizers });
	const guided = compileFuzzer('guided', join(folder, 'guided'), {
		compiler: 'clang',
		sanitizers: [...sanitizers, 'fuzzer'],
	});
	const engines = [startGenerated(lists, limits), startGuided(guided, lists, folder, limits.seed)] as const;
	const timer = process.stderr.isTTY
		? setInterval(() => {
				const [random, led] = engines.map((engine) => engine.progress());
				say(`fuzz: ${number(random?.lists)} at random, ${number(led?.runs)} guided`);
			}, 1000)
		: undefined;
	const finding = await race(engines, signal).finally(() => clearInterval(timer));
	if (process.stderr.isTTY) say('');

	const [random, led] = [engines[0].progress(), engines[1].progress()];
	if (json) {
		const found = finding === undefined ? null : { ...finding, vector: asVector(finding) };
		console.log(JSON.stringify({ ...limits, generated: random, guided: led, finding: found }, undefined, 2));
	} else {
		console.log(`seed ${limits.seed}\n${formatGenerated(random)}\n${formatGuided(led)}`);
		console.log(finding === undefined ? 'nothing found' : `\n${formatFinding(finding)}`);
	}
	process.exitCode = finding === undefined ? exitCode.done : exitCode.failed;
}

const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => interrupted.abort());
try {
	await fuzz(interrupted.signal);
} catch (error) {
	console.error(`fuzz: ${(error as Error).message}`);
	if (!(error instanceof ToascopeError)) process.exitCode = exitCode.failed;
	else {
		if (error.hint !== undefined) console.error(error.hint);
		process.exitCode = error.exitCode;
	}
}
