// SPDX-License-Identifier: Apache-2.0
/**
 * Runs the two fuzzers as processes: one generates random lists, the other is guided by coverage
 * (libFuzzer).
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { allVectors } from '../kit/model/vectors.ts';
import { type Finding, readFinding } from './finding.ts';
import { inputMax, writeSeeds } from './seeds.ts';

/** The progress of an engine: numbers by name. */
export type Progress = Readonly<Record<string, number>>;

export interface Engine {
	progress(): Progress;
	/**
	 * Resolves when the engine has ended: with its finding, or with undefined if a limit or stop()
	 * ended it.
	 */
	readonly ended: Promise<Finding | undefined>;
	stop(): void;
}

export interface Limits {
	/** 0: no limit. */
	readonly lists: number;
	/** 0: no limit. */
	readonly seconds: number;
	readonly seed: number;
}

const linesKept = 100;

interface End {
	readonly code: number | null;
	/**
	 * Whether it was ended by the runner, or by Ctrl-C, which a terminal sends to all processes.
	 */
	readonly interrupted: boolean;
	/** The last lines of the output; the same holds for `stderr`. */
	readonly stdout: string;
	readonly stderr: string;
}

/** Calls `onLine` for each line. Resolves when the process has ended and all output was read. */
async function follow(child: ChildProcess, onLine: (line: string) => void): Promise<End> {
	const collect = (stream: Readable | null): string[] => {
		const lines: string[] = [];
		if (stream === null) return lines;
		createInterface({ input: stream }).on('line', (line) => {
			lines.push(line);
			if (lines.length > 2 * linesKept) lines.splice(0, linesKept);
			onLine(line);
		});
		return lines;
	};
	const [stdout, stderr] = [collect(child.stdout), collect(child.stderr)];
	const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
		child.once('error', reject);
		child.once('close', (...end) => resolve(end));
	});
	// libFuzzer handles the signal, and reports it
	const interrupted = signal === 'SIGINT' || signal === 'SIGTERM' || /libFuzzer: run interrupted/.test(stderr.join());
	return { code, interrupted, stdout: stdout.join('\n'), stderr: stderr.join('\n') };
}

/** `name 12 other 3.4 ...` */
function readNumbers(line: string): Progress {
	return Object.fromEntries(
		Array.from(line.matchAll(/([a-z]+) ([\d.]+)/g), ([, name, value]) => [name, Number(value)]),
	);
}

/** Runs the generator of random lists (generate_list.c) until a limit is reached. */
export function startGenerated(program: string, { seed, lists, seconds }: Limits): Engine {
	const child = spawn(program, ['generate', String(seed), String(lists), String(seconds)], {
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	let progress: Progress = {};
	const ended = follow(child, (line) => {
		if (line.startsWith('lists ')) progress = readNumbers(line);
	}).then(({ code, interrupted, stdout, stderr }) => {
		const finding = readFinding(stdout, stderr);
		if (finding === undefined && code !== 0 && !interrupted) throw new Error(`the generator ended early:\n${stderr}`);
		return finding;
	});
	return {
		progress: () => progress,
		ended,
		stop: () => void child.kill('SIGTERM'),
	};
}

/** Returns the finding that `lists replay` reports for an input that libFuzzer kept. */
function replay(program: string, input: string): Finding {
	const [again, shown] = ['replay', 'show'].map((command) =>
		spawnSync(program, [command, input], { encoding: 'utf8' }),
	);
	const finding =
		readFinding(again?.stdout ?? '', again?.stderr) ??
		readFinding(`finding: libFuzzer stopped at this input, but a replay finds nothing\n${shown?.stdout}`);
	if (finding === undefined) throw new Error(`${input} contains no case`);
	return finding;
}

/**
 * Runs libFuzzer without a limit, starting from the vectors and from the inputs that earlier runs
 * kept. `lists` is the program that decodes a kept input. All files are below `folder`.
 */
export function startGuided(program: string, lists: string, folder: string, seed: number): Engine {
	const [corpus, seeds, findings] = ['corpus', 'seeds', 'findings'].map((name) => join(folder, name)) as [
		string,
		string,
		string,
	];
	for (const made of [corpus, findings]) mkdirSync(made, { recursive: true });
	writeSeeds(seeds, allVectors());
	const options = [
		`-seed=${(seed % (2 ** 32 - 1)) + 1}`,
		`-max_len=${inputMax}`,
		'-timeout=10',
		'-print_final_stats=1',
		`-artifact_prefix=${findings}/`,
	];
	const child = spawn(program, [...options, corpus, seeds], { stdio: ['ignore', 'pipe', 'pipe'] });
	let progress: Progress = {};
	let kept: string | undefined;
	const ended = follow(child, (line) => {
		const [, runs, edges, features, inputs] = /^#(\d+)\s.*cov: (\d+) ft: (\d+) corp: (\d+)/.exec(line) ?? [];
		if (runs !== undefined) {
			progress = { runs: Number(runs), edges: Number(edges), features: Number(features), inputs: Number(inputs) };
		}
		const total = /^stat::number_of_executed_units: (\d+)/.exec(line)?.[1];
		if (total !== undefined) progress = { ...progress, runs: Number(total) };
		kept ??= /Test unit written to (.+)/.exec(line)?.[1];
	}).then(({ interrupted, stderr }) => {
		if (kept !== undefined) return replay(lists, kept);
		if (!interrupted) throw new Error(`libFuzzer ended early:\n${stderr}`);
		return undefined;
	});
	return {
		progress: () => progress,
		ended,
		stop: () => void child.kill('SIGTERM'),
	};
}
