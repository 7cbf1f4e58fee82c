// SPDX-License-Identifier: Apache-2.0
/**
 * The kernel has no memory for a while: the daemon reports this everywhere, loses no record because
 * of it, and continues when there is memory again.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { NotifySocket } from '../kit/daemon/notify_socket.ts';
import { preload } from '../kit/kernel/c_program.ts';
import type { Sample } from '../kit/telemetry/metrics.ts';
import { startOtlpReceiver } from '../kit/telemetry/otlp_receiver.ts';
import { Stage, somePorts } from '../kit/wire/toa_stage.ts';

/** Values of enum bpf_cmd. */
const command = { mapLookup: 1, objectInfo: 15, iterCreate: 33, mapLookupBatch: 24 };

const port = somePorts(2);
let directory = '';
beforeAll(() => {
	directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
});
afterAll(() => rmSync(directory, { recursive: true }));

/** Controls failures of bpf(2) in a daemon with this environment, by means of a file. */
function failures(name: string) {
	const path = join(directory, name);
	return {
		env: { ...preload('failing_bpf'), FAILING_BPF: path },
		begin: (...commands: (number | string)[]) => writeFileSync(path, commands.join(' ')),
		end: () => rmSync(path),
	};
}

const value = (samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}) =>
	samples.find(
		(sample) =>
			sample.name === name && Object.entries(labels).every(([label, wanted]) => sample.labels[label] === wanted),
	)?.value;

/** Polls /readyz until it responds with this status. */
async function untilReadyzIs(daemon: Daemon, status: number): Promise<unknown> {
	for (;;) {
		const response = await fetch(`${daemon.url}/readyz`);
		if (response.status === status) return status === 200 ? undefined : response.json();
		await response.text();
		await new Promise((resolve) => setTimeout(resolve, 100));
	}
}

test('failing collections show in metrics, status, readiness and one log line, until one succeeds', async () => {
	const memory = failures('collect');
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}`, env: memory.env });
	await untilReadyzIs(daemon, 200);
	const before = await daemon.metrics();
	expect(value(before, 'toascope_task_failures_total', { task: 'collect' })).toBe('0');
	expect(Number(value(before, 'toascope_task_duration_seconds_count', { task: 'collect' }))).toBeGreaterThan(0);
	expect(Math.abs(Date.now() / 1000 - Number(value(before, 'toascope_snapshot_timestamp_seconds')))).toBeLessThan(60);

	memory.begin(command.mapLookup, command.mapLookupBatch);
	await daemon.until((samples) =>
		Number(value(samples, 'toascope_task_failures_total', { task: 'collect' })) >= 5 ? true : undefined,
	);
	const during = await daemon.metrics();
	const status = await fetch(`${daemon.url}/v1/status?peers=on`);
	expect(status.status).toBe(200);
	expect(await status.json()).toMatchObject({ provider: 'bpf' });
	const failed = daemon.log.filter(({ msg, task }) => msg === 'a periodic task failed' && task === 'collect');
	expect(failed).toHaveLength(1);
	expect(failed[0]?.['err']).toEqual({ code: 'ENOMEM', message: expect.stringContaining('Cannot allocate memory') });

	expect(await untilReadyzIs(daemon, 503)).toMatchObject({
		detail: expect.stringMatching(
			/^not ready: no collection of the counters has succeeded since .*, last error: ENOMEM$/,
		),
		not_ready: [{ reason: 'snapshot_stale', text: expect.any(String) }],
	});
	expect(await daemon.json('/v1/status')).toMatchObject({ not_ready: [{ reason: 'snapshot_stale' }] });
	const stale = 'toascope_snapshot_timestamp_seconds';
	expect(value(await daemon.metrics(), stale)).toBe(value(during, stale));

	memory.end();
	await untilReadyzIs(daemon, 200);
	expect(await daemon.json('/v1/status')).toMatchObject({ not_ready: [] });
	const again = await daemon.logged(/^a periodic task succeeds again/);
	expect(again).toMatchObject({ task: 'collect', failures: expect.any(Number) });
	expect(daemon.log.map(({ msg }) => msg)).toEqual(expect.arrayContaining(['not ready', 'ready again']));
});

test('a check of the attachments that fails: not ready, and nothing is reported as attached', async () => {
	const memory = failures('attachments');
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}`, env: memory.env });
	await untilReadyzIs(daemon, 200);
	memory.begin(command.objectInfo);
	expect(await untilReadyzIs(daemon, 503)).toMatchObject({ not_ready: [{ reason: 'attachments_unknown' }] });
	const samples = await daemon.metrics();
	expect(value(samples, 'toascope_provider_info')).toBeUndefined();
	expect(value(samples, 'toascope_program_attached')).toBeUndefined();
	expect(Number(value(samples, 'toascope_task_failures_total', { task: 'attachments' }))).toBeGreaterThan(0);
	memory.end();
	await untilReadyzIs(daemon, 200);
	expect(value(await daemon.metrics(), 'toascope_program_attached', { program: 'toascope_sockops' })).toBe('1');
});

test('a first collection that fails is tried again: systemd gets READY=1 only when one has succeeded', async () => {
	const memory = failures('first');
	const socket = join(directory, 'notify.sock');
	await using systemd = await NotifySocket.open(socket);
	// two reads precede the first collection: the series that an earlier daemon left, and when
	// listeners began
	memory.begin(`${command.mapLookupBatch}+2`);
	const env = { ...memory.env, NOTIFY_SOCKET: socket };
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}`, env });
	await systemd.until(/^STATUS=not ready: waiting for the first collection of the counters, which fails \(ENOMEM\)$/);
	expect(await untilReadyzIs(daemon, 503)).toMatchObject({ not_ready: [{ reason: 'first_collection' }] });
	// two more collections fail
	await daemon.until((samples) =>
		Number(value(samples, 'toascope_task_failures_total', { task: 'collect' })) >= 3 ? true : undefined,
	);
	expect(systemd.states).not.toContain('READY=1');
	memory.end();
	await systemd.until(/^READY=1$/);
	expect((await fetch(`${daemon.url}/readyz`)).status).toBe(200);
});

test('owners that cannot be looked up: every record of the batch is passed on, and failures are counted', async () => {
	const memory = failures('owners');
	const connections = 8;
	const receiver = await startOtlpReceiver();
	try {
		await using stage = await Stage.open(port);
		await using daemon = await Daemon.start({
			config: `listeners: {ports: [${port}]}\ntrust: ["${network.pool}"]`,
			env: { ...memory.env, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: '100' },
		});
		// all of their records are in the ring when the daemon continues
		daemon.child.kill('SIGSTOP');
		memory.begin(command.iterCreate);
		for (let made = 0; made < connections; made++) {
			await using _ = await stage.connect('AF_INET', 'nat64', { silently: true });
		}
		daemon.child.kill('SIGCONT');
		const failed = await daemon.until((samples) => {
			const count = Number(value(samples, 'toascope_task_failures_total', { task: 'owners' }));
			return count > 0 && receiver.spans.length >= connections ? count : undefined;
		});
		expect(failed).toBeGreaterThan(0);
		expect(receiver.spans).toHaveLength(connections);
		expect(value(await daemon.metrics(), 'toascope_task_failures_total', { task: 'drain' })).toBe('0');
		const lines = daemon.log.filter(({ task }) => task === 'owners');
		expect(lines).toHaveLength(1);

		// requests for data that cannot be read get 503, and the log has one line for all of them
		await using held = await stage.connect('AF_INET', 'nat64');
		const { address, port: peerPort } = held.accepted;
		memory.begin(command.mapLookup);
		for (let asked = 0; asked < 3; asked++) {
			const answer = await fetch(`${daemon.url}/v1/connections?peer=${address}:${peerPort}`);
			expect(answer.status).toBe(503);
			expect(await answer.json()).toMatchObject({ detail: expect.stringContaining('(ENOMEM)') });
		}
		expect(daemon.log.filter(({ msg }) => msg === 'a request failed')).toHaveLength(1);
	} finally {
		await receiver.close();
	}
});
