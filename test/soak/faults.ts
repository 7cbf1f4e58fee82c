// SPDX-License-Identifier: Apache-2.0
/** The faults of a soak test. Each ends when the daemon has logged it and has recovered. */
import { rmSync, writeFileSync } from 'node:fs';
import { flood, floods } from '../../bench/flood.ts';
import { logLines } from '../../daemon/log_lines.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { expectEqual } from './checks.ts';
import type { Service } from './service.ts';
import type { SoakEnvironment } from './stage.ts';

export interface Fault {
	readonly name: string;
	/** Whether the fault ends the daemon's process. Such faults occur only in the second half. */
	readonly endsDaemon?: boolean;
	/** The result is shown. */
	readonly run: (stage: SoakEnvironment, service: Service) => Promise<string | undefined>;
}

export const faults: readonly Fault[] = [
	{ name: 'scrapes', run: scrapes },
	{
		name: 'reload',
		async run(stage) {
			const line = await stage.daemon.reload(stage.configuration('connections: {retain: 60 s}'));
			expectEqual('the log', line.msg, logLines.reloaded.text);
			return line.msg;
		},
	},
	{
		name: 'reload of a wrong file',
		async run(stage) {
			const line = await stage.daemon.reload(stage.configuration('clinets: {}'));
			expectEqual('the log', line.msg, logLines.reloadFailed.text);
			writeFileSync(stage.daemon.configFile, stage.configuration());
			return line.msg;
		},
	},
	{
		name: 'the collector is killed',
		async run({ daemon, collector }) {
			const from = daemon.log.length;
			await collector.kill();
			await daemon.logged(new RegExp(logLines.otlpFailing.text), from);
			await collector.again();
			await daemon.logged(new RegExp(logLines.otlpSucceeding.text), from);
			return undefined;
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
		endsDaemon: true,
		run: (stage) => restartDaemon(stage, 'SIGKILL'),
	},
	{
		name: 'a stop that keeps the programs',
		endsDaemon: true,
		run: (stage) => restartDaemon(stage, 'SIGTERM'),
	},
];

/** Checks all counters, and scrapes both formats, with compression and without. */
async function scrapes({ daemon, counterWatch: grown }: SoakEnvironment): Promise<undefined> {
	await grown.check(daemon);
	for (const [accept, encoding] of [
		['text/plain', 'identity'],
		['application/openmetrics-text', 'identity'],
		['application/openmetrics-text', 'gzip'],
	]) {
		const headers = { accept: accept as string, 'accept-encoding': encoding as string };
		const response = await fetch(`${daemon.url}/metrics`, { headers });
		expectEqual('status', response.status, 200);
		expectEqual('type', response.headers.get('content-type')?.startsWith(accept as string), true);
		const text = await response.text();
		if (accept !== 'text/plain' && !text.endsWith('# EOF\n')) throw new Error('the response is truncated');
	}
	return undefined;
}

/** Each removal is counted, but the log has at most one line about it per minute. */
async function socketRemoved({ daemon, sandbox }: SoakEnvironment): Promise<string> {
	const from = daemon.log.length;
	const lost = (samples: Sample[]) => total(samples, 'toascope_attachments_lost_total', { attachment: 'http_socket' });
	const before = lost(await daemon.metrics());
	rmSync(`${sandbox.scratch}/toascope.sock`);
	const { msg } = await daemon.logged(/^HTTP is listening now/, from);
	expectEqual('toascope_attachments_lost_total', lost(await daemon.metrics()), before + 1n);
	await daemon.logged(/Unix socket is gone/);
	return msg;
}

/** The load continues meanwhile, and the counters must include it afterwards. */
async function restartDaemon(stage: SoakEnvironment, signal: 'SIGKILL' | 'SIGTERM'): Promise<string> {
	await stage.counterWatch.check(stage.daemon);
	expectEqual('exit', await stage.daemon.stop(signal), signal === 'SIGKILL' ? signal : 0);
	await stage.restart();
	expectEqual('adopted', (await stage.daemon.logged(/^attached/))['adopted'], true);
	await stage.counterWatch.check(stage.daemon);
	return 'restarted';
}
