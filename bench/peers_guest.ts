// SPDX-License-Identifier: Apache-2.0
/**
 * Runs in a guest, as root: peers_guest.ts FOLDER RUNS SECONDS. The same load without any tool, with toascope, and with
 * each of the tools of peer_tools.ts, each between two stretches without. Writes one line, `peers: JSON`.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { hasEnded } from '../daemon/lab/process.ts';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import { Ground } from './ground.ts';
import { type PeerTool, peerEnvironment, peerTools } from './peer_tools.ts';

/** What one run of one arm was. */
export interface PeerRun {
	readonly rate: number;
	/** Of both ends for a connection, and of the tool. */
	readonly cpuMicros: number;
	/** Of the tool's processes alone, as a share of one processor. */
	readonly toolShare: number;
}

export interface Stretch {
	readonly name: string;
	readonly what: string;
	readonly runs: readonly PeerRun[];
	/** Lines that the tool wrote for each connection. */
	readonly lines?: number;
}

const clients = 1000;
const place = 'with';
const peerPlace = 'peer';
/** Of an emulated machine. */
const startMs = 300_000;

const [folder = '', runsText = '', secondsText = ''] = process.argv.slice(2);
const runs = Number(runsText);
const seconds = Number(secondsText);

async function measure(
	ground: Ground,
	generator: Generator,
	toolPlace: string,
): Promise<{ runs: PeerRun[]; all: number }> {
	const made: PeerRun[] = [];
	let all = 0;
	// the first one warms up
	for (let index = 0; index <= runs; index++) {
		const before = ground.cpuSeconds(toolPlace);
		const run = await generator.run({ server: place, client: place }, { seconds });
		const tool = ground.cpuSeconds(toolPlace) - before;
		all += run.connections;
		const cpuMicros = ((run.cpuSeconds + tool) / run.connections) * 1e6;
		if (index > 0) made.push({ rate: run.rate, cpuMicros, toolShare: tool / run.seconds });
	}
	return { runs: made, all };
}

/** Programs hang where a process holds a link to them, or an event that they are attached to. */
function isAttached(pid: number): boolean {
	const files = `/proc/${pid}/fd`;
	return readdirSync(files).some((fd) => /bpf[-_]link|perf_event/.test(linkOf(join(files, fd))));
}

function linkOf(path: string): string {
	try {
		return readlinkSync(path);
	} catch {
		return '';
	}
}

async function whenAttached(child: ChildProcess, errors: string): Promise<void> {
	const until = performance.now() + startMs;
	while (hasEnded(child) || !isAttached(child.pid ?? 0)) {
		if (hasEnded(child) || performance.now() > until) {
			throw new Error(`${child.spawnfile} does not attach: ${readFileSync(errors, 'utf8')}`);
		}
		await setTimeout(200);
	}
	// it may go on from one program to the next
	await setTimeout(3000);
}

async function withTool(ground: Ground, generator: Generator, tool: PeerTool): Promise<Stretch> {
	const [output, errors] = [join(ground.scratch, tool.name), join(ground.scratch, `${tool.name}.errors`)];
	const [out, err] = [openSync(output, 'w'), openSync(errors, 'w')];
	const [file, ...args] = tool.command;
	const child = spawn(file, args, {
		stdio: ['ignore', out, err],
		env: { ...process.env, ...peerEnvironment(folder) },
	});
	closeSync(out);
	closeSync(err);
	const ended = once(child, 'close');
	try {
		await whenAttached(child, errors);
		ground.move(child, peerPlace);
		const { runs: made, all } = await measure(ground, generator, peerPlace);
		child.kill('SIGINT');
		await ended;
		const text = readFileSync(output, 'utf8');
		if (tool.line) return { name: tool.name, what: tool.what, runs: made, lines: text.split('\n').length / all };
		const counted = [...text.matchAll(/: (\d+)$/gm)].reduce((sum, [, count]) => sum + Number(count), 0);
		return { name: tool.name, what: tool.what, runs: made, lines: counted / all };
	} finally {
		child.kill('SIGKILL');
		await ended;
	}
}

async function bare(ground: Ground, generator: Generator): Promise<Stretch> {
	const { runs: made } = await measure(ground, generator, peerPlace);
	return { name: 'bare', what: 'no tool', runs: made };
}

async function withToascope(ground: Ground, generator: Generator): Promise<Stretch> {
	await using daemon = await startDaemon(ground, place);
	const { runs: made, all } = await measure(ground, generator, daemonPlace);
	await whenClosed(ground, daemon, all);
	return { name: 'toascope', what: 'toascope', runs: made };
}

await using ground = await Ground.open(new AbortController().signal);
ground.cgroup(daemonPlace);
ground.cgroup(peerPlace);
await using generator = await Generator.start(ground, clients);
const stretches = [await bare(ground, generator), await withToascope(ground, generator)];
for (const tool of peerTools(folder)) {
	stretches.push(await bare(ground, generator), await withTool(ground, generator, tool));
}
stretches.push(await bare(ground, generator));
console.log(`peers: ${JSON.stringify(stretches)}`);
