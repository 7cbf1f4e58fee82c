// SPDX-License-Identifier: Apache-2.0
/** What happens to a daemon in a soak. Each ends when the daemon has said what was done to it, and has got over it. */
import { rmSync, writeFileSync } from 'node:fs';
import { flood, floods } from '../../bench/flood.ts';
import { logLines } from '../../daemon/log_lines.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { same } from './checks.ts';
import type { Service } from './service.ts';
import type { SoakStage } from './stage.ts';

export interface Fault {
	readonly name: string;
	/** The daemon's life ends: it is kept for the second half. */
	readonly deadly?: boolean;
	/** What it returns is shown. */
	readonly run: (stage: SoakStage, service: Service) => Promise<string | undefined>;
}

export const faults: readonly Fault[] = [
	{ name: 'scrapes', run: scrapes },
	{
		name: 'reload',
		async run(stage) {
			const line = await stage.daemon.reload(stage.configuration('connections: {retain: 60 s}'));
			same('the log', line.msg, logLines.reloaded.text);
			return line.msg;
		},
	},
	{
		name: 'reload of a wrong file',
		async run(stage) {
			const line = await stage.daemon.reload(stage.configuration('clinets: {}'));
			same('the log', line.msg, logLines.reloadFailed.text);
			writeFileSync(stage.daemon.configFile, stage.configuration());
			return line.msg;
		},
	},
	{
		name: 'the collector is killed',
		async run({ daemon, collector }) {
			const from = daemon.log.length;
			await collector.kill();
			await daemon.logged(new RegExp(logLines.spansNotReaching.text), from);
			await collector.again();
			const { lost } = await daemon.logged(new RegExp(logLines.spansReaching.text), from);
			return `${lost} spans lost, and told`;
		},
	},
	{
		name: 'a flood of requests',
		async run({ daemon }) {
			const limited = async () => Number(total(await daemon.metrics(), 'toascope_http_limited_total'));
			const before = await limited();
			const [connections, requests] = [32, 1000];
			await flood(daemon.url, floods['peers_of_host'] as string, connections, requests);
			const more = (await limited()) - before;
			if (more < connections) throw new Error(`${more} limits were counted for ${connections} connections`);
			await daemon.logged(new RegExp(logLines.httpLimitExceeded.text));
			return undefined;
		},
	},
	{ name: 'a service restarts, and its cgroup with it', run: (_stage, service) => service.restart() },
	{ name: "the Unix socket's file is removed", run: socketRemoved },
	{
		name: 'SIGKILL',
		deadly: true,
		run: (stage) => anotherLife(stage, 'SIGKILL'),
	},
	{
		name: 'a stop that keeps the programs',
		deadly: true,
		run: (stage) => anotherLife(stage, 'SIGTERM'),
	},
];

/** All counters, in both formats, packed and not. */
async function scrapes({ daemon, grown }: SoakStage): Promise<undefined> {
	await grown.look(daemon);
	for (const [accept, encoding] of [
		['text/plain', 'identity'],
		['application/openmetrics-text', 'identity'],
		['application/openmetrics-text', 'gzip'],
	]) {
		const headers = { accept: accept as string, 'accept-encoding': encoding as string };
		const response = await fetch(`${daemon.url}/metrics`, { headers });
		same('status', response.status, 200);
		same('type', response.headers.get('content-type')?.startsWith(accept as string), true);
		const text = await response.text();
		if (accept !== 'text/plain' && !text.endsWith('# EOF\n')) throw new Error('an answer without its end');
	}
	return undefined;
}

/** Counted each time; the log has at most one line a minute of it. */
async function socketRemoved({ daemon, ground }: SoakStage): Promise<string> {
	const from = daemon.log.length;
	const lost = (samples: Sample[]) => total(samples, 'toascope_attachments_lost_total', { attachment: 'http_socket' });
	const before = lost(await daemon.metrics());
	rmSync(`${ground.scratch}/toascope.sock`);
	const { msg } = await daemon.logged(/^HTTP listens now/, from);
	same('toascope_attachments_lost_total', lost(await daemon.metrics()), before + 1n);
	await daemon.logged(/Unix socket is gone/);
	return msg;
}

/** The load goes on meanwhile; what it does is in the counters afterwards. */
async function anotherLife(stage: SoakStage, signal: 'SIGKILL' | 'SIGTERM'): Promise<string> {
	await stage.grown.look(stage.daemon);
	same('exit', await stage.daemon.stop(signal), signal === 'SIGKILL' ? signal : 0);
	await stage.startAgain();
	same('adopted', (await stage.daemon.logged(/^attached/))['adopted'], true);
	await stage.grown.look(stage.daemon);
	return `another life`;
}
