// SPDX-License-Identifier: Apache-2.0
/** A stop takes what is in the ring; what there is no time for is counted, or left for the next daemon. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { network } from '../../daemon/lab/lab.ts';
import { Service } from '../../daemon/service/service.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { patient } from '../fixtures/patience.ts';
import { Stage, somePorts } from '../fixtures/stage.ts';

const passing = new URL('../fixtures/passing_connections.ts', import.meta.url).pathname;
const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(1);
const spansPort = somePorts(2);
const count = 400;
/** Longer than the stop waits, with the records that are taken at a stretch. */
const slowMs = 3;

/** The daemon in this process: what it does waits for the test. */
async function start(bpf: { pin: string }) {
	const settings = { listeners: { ports: [port] }, bpf, http: { listen: false, socket: 'off' } };
	const config = toConfig(fileSchema.parse(settings), {});
	const seen = { records: 0, eachMs: 0 };
	const service = await Service.start(config, pino({ enabled: false }), {
		onEvent() {
			seen.records++;
			const until = performance.now() + seen.eachMs;
			while (performance.now() < until);
		},
	});
	return { service, seen };
}

/** Nothing else runs here meanwhile: all of it is in the ring when this returns. */
const connections = () => execFileSync(process.execPath, [passing, String(port), String(count)]);

/** What a stop takes that has the time. */
async function taken(): Promise<number> {
	const { service, seen } = await start({ pin: 'off' });
	connections();
	expect(seen.records).toBe(0);
	expect(await service.stop()).toEqual({ kept: false, lost: [], recordsLost: 0 });
	return seen.records;
}

test('with time for it, it takes all', async () => {
	// each opens and closes; whether the accept is seen is up to the kernel
	expect([2 * count, 3 * count]).toContain(await taken());
});

test('without time, it counts what it does not take', async () => {
	const all = await taken();
	const { service, seen } = await start({ pin: 'off' });
	connections();
	seen.eachMs = slowMs;
	const { recordsLost } = await service.stop();
	expect(recordsLost).toBeGreaterThan(0);
	expect(seen.records + recordsLost).toBe(all);
});

test('with on_exit: keep, what it does not take the next daemon does', async () => {
	const all = await taken();
	const first = await start({ pin });
	connections();
	first.seen.eachMs = slowMs;
	expect(await first.service.stop('keep')).toEqual({ kept: true, lost: [], recordsLost: 0 });
	expect(first.seen.records).toBeLessThan(all);
	const second = await start({ pin });
	await second.service.stop('detach');
	expect(first.seen.records + second.seen.records).toBe(all);
	expect(existsSync(pin)).toBe(false);
});

test('the last line of the log says how many were lost', async () => {
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}` });
	await daemon.stop();
	expect(daemon.log.at(-1)).toMatchObject({ msg: 'stopped: detached', on_exit: 'detach', records_lost: 0 });
});

test('a stop with spans for a collector over gRPC that never answers ends in time, and says what was lost', async () => {
	// it takes connections, and says nothing
	const collector = createServer((socket) => void socket.on('error', () => {})).listen(0, '127.0.0.1');
	await once(collector, 'listening');
	try {
		await using stage = await Stage.open(spansPort);
		await using daemon = await Daemon.start({
			config: `listeners: {ports: [${spansPort}]}\ntrust: ["${network.pool}"]`,
			env: {
				OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${(collector.address() as AddressInfo).port}`,
				OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc',
				OTEL_BSP_SCHEDULE_DELAY: '100',
			},
		});
		const asked = once(collector, 'connection');
		for (let made = 0; made < 5; made++) {
			await using _ = await stage.connect('AF_INET', 'nat64');
		}
		await asked;
		const began = performance.now();
		expect(await daemon.stop()).toBe(0);
		expect(performance.now() - began).toBeLessThan(patient(3000));
		expect(daemon.log.find(({ msg }) => msg === 'spans lost at the end')).toMatchObject({ spans: 5 });
	} finally {
		collector.close();
	}
});
