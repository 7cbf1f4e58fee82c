// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run bench [-- --json] [--quick] [--only PART]... [--against COMMIT] [--write FILE]`:
 * measures what toascope costs on this machine. bench/README.md describes the method. Exit code 0:
 * everything was measured, whatever the results; 1: a part failed, but the others were still
 * measured and shown.
 */
import { writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inspect, parseArgs } from 'node:util';
import { exitCode, ToascopeError } from '../daemon/errors.ts';
import { measureAcceptOff } from './accept_off.ts';
import { buildAgainst } from './against.ts';
import { measureBatchLookups } from './batch_lookups.ts';
import { measureBulk } from './bulk.ts';
import { measureCollectorProcessor } from './collector_processor.ts';
import { measureDaemonCpu } from './daemon_cpu.ts';
import { measureFallback } from './fallback.ts';
import { measureFlood } from './flood.ts';
import { measureGetsockopt } from './getsockopt.ts';
import { measureGrowth } from './growth.ts';
import { measureLookups } from './lookups.ts';
import { describeMachine, type Machine } from './machine.ts';
import { measureMemory } from './memory.ts';
import { measureModule } from './module.ts';
import { measureOpenConnections } from './open_connections.ts';
import { measurePeers } from './peers.ts';
import { measurePeersHere } from './peers_here.ts';
import { measureProgramTime } from './program_time.ts';
import { measureNginxRate, measureRate } from './rate.ts';
import { formatMarkdown, formatTable, type Report, writeBetweenMarks } from './report.ts';
import type { Part, Plan, Row } from './result.ts';
import { measureRing } from './ring.ts';
import { measureRss } from './rss.ts';
import { Sandbox } from './sandbox.ts';
import { measureScrapes } from './scrape.ts';
import { measureTelemetry } from './telemetry.ts';

/** In the order in which they run: the parts that are most sensitive to disturbance come first. */
const parts: Readonly<Record<string, (sandbox: Sandbox, plan: Plan) => Promise<Part>>> = {
	rate: measureRate,
	rate_nginx: measureNginxRate,
	bulk: measureBulk,
	program_time: measureProgramTime,
	accept_off: measureAcceptOff,
	fallback: measureFallback,
	getsockopt: measureGetsockopt,
	daemon_cpu: measureDaemonCpu,
	memory: measureMemory,
	rss: measureRss,
	flood: measureFlood,
	lookups: measureLookups,
	batch_lookups: measureBatchLookups,
	collector_processor: measureCollectorProcessor,
	ring: measureRing,
	telemetry: measureTelemetry,
	scrape: measureScrapes,
	open_connections: measureOpenConnections,
	growth: measureGrowth,
	peers_here: measurePeersHere,
	peers: measurePeers,
	module: measureModule,
};

/** These run with --quick only if --only names them. */
const slow: ReadonlySet<string> = new Set(['peers', 'peers_here', 'module']);

function usage(message: string): ToascopeError {
	return new ToascopeError('USAGE', message, {
		hint: `usage: npm run bench [-- --json] [--quick] [--only ${Object.keys(parts).join('|')}]... [--against COMMIT] [--write FILE]`,
	});
}

function readArguments() {
	try {
		const { values } = parseArgs({
			options: {
				json: { type: 'boolean', default: false },
				quick: { type: 'boolean', default: false },
				only: { type: 'string', multiple: true },
				against: { type: 'string' },
				write: { type: 'string' },
			},
		});
		const only = values.only ?? Object.keys(parts).filter((name) => !(values.quick && slow.has(name)));
		const unknown = only.find((name) => parts[name] === undefined);
		if (unknown !== undefined) throw usage(`unknown part "${unknown}"`);
		return { ...values, only };
	} catch (error) {
		if (error instanceof ToascopeError) throw error;
		throw usage((error as Error).message);
	}
}

/**
 * Measures a part. A failure is reported and returned as text, and does not affect the other parts.
 */
async function attempt(name: string, measure: () => Promise<Part>, signal: AbortSignal): Promise<Part | string> {
	try {
		return await measure();
	} catch (error) {
		if (signal.aborted || !(error instanceof Error)) throw error;
		console.error(`bench: ${name}: ${error instanceof ToascopeError ? error.message : inspect(error)}`);
		return error.message;
	}
}

async function bench(signal: AbortSignal): Promise<boolean> {
	const options = readArguments();
	const say = (text: string) => process.stderr.write(process.stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
	if (options.against !== undefined) say(`building ${options.against}`);
	const against = options.against === undefined ? undefined : await buildAgainst(options.against, signal);
	const plan: Plan = { quick: options.quick, say, against };
	const results: Record<string, object> = {};
	const failed: Record<string, string> = {};
	const files: Record<string, string> = {};
	const rows: Row[] = [];
	let machine: Machine;
	{
		await using sandbox = await Sandbox.open(signal);
		machine = await describeMachine(sandbox);
		for (const [name, measure] of Object.entries(parts)) {
			if (!options.only.includes(name)) continue;
			const part = await attempt(name, () => measure(sandbox, plan), signal);
			if (typeof part === 'string') {
				failed[name] = part;
				rows.push({ name, what: name, value: 'failed', aim: '', verdict: 'none', note: part });
			} else {
				results[name] = part.figures;
				rows.push(...part.rows);
				Object.assign(files, part.files);
			}
		}
	}
	if (process.stderr.isTTY) say('');
	const namesOf = (verdict: Row['verdict']) =>
		rows.filter((row) => row.aim !== '' && row.verdict === verdict).map(({ name }) => name);
	const report: Report = {
		date: new Date().toISOString(),
		kernel: machine.kernel,
		command: ['npm run bench', ...(process.argv.length > 2 ? ['--', ...process.argv.slice(2)] : [])].join(' '),
		machine,
		results,
		failed,
		falls_short: namesOf('falls short'),
		no_verdict: namesOf('none'),
	};
	console.log(options.json ? JSON.stringify(report, undefined, 2) : formatTable(report, rows));
	const complete = Object.keys(failed).length === 0;
	if (options.write !== undefined && complete) {
		writeBetweenMarks(options.write, formatMarkdown(report, rows));
		for (const [name, text] of Object.entries(files)) writeFileSync(join(dirname(options.write), name), text);
	}
	return complete;
}

process.env.PATH = `${join(import.meta.dirname, '../build/tools/bin')}:${process.env.PATH}`;
const interrupted = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
	process.once(signal, () => interrupted.abort(new ToascopeError('LAB_FAILED', `ended by ${signal}`)));
}
try {
	if (!(await bench(interrupted.signal))) process.exitCode = exitCode.failed;
} catch (error) {
	const reason = interrupted.signal.aborted ? interrupted.signal.reason : error;
	if (!(reason instanceof ToascopeError)) throw reason;
	console.error(`bench: ${reason.message}${reason.hint === undefined ? '' : `\n${reason.hint}`}`);
	process.exitCode = interrupted.signal.aborted ? exitCode.failed : reason.exitCode;
}
