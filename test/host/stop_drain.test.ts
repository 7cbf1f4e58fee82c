// SPDX-License-Identifier: Apache-2.0
/**
 * A stop drains the ring; records for which there is no time are counted, or are left for the next
 * daemon.
 */
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
import { Daemon } from '../kit/daemon/daemon.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { Stage, somePorts } from '../kit/wire/toa_stage.ts';

const passing = new URL('../kit/wire/passing_connections.ts', import.meta.url).pathname;
const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const port = somePorts(1);
const spansPort = somePorts(2);
const count = 400;
/**
 * Milliseconds for each record: so slow that the records of one batch take longer than the stop
 * waits.
 */
const slowMs = 3;

/** Runs the daemon in this process: it makes progress only when the test yields. */
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

/**
 * Blocks this process, and with it the daemon: all records are still in the ring when this returns.
 */
const connections = () => execFileSync(process.execPath, [passing, String(port), String(count)]);

/** Returns the number of records that a stop with enough time drains. */
async function drained(): Promise<number> {
	const { service, seen } = await start({ pin: 'off' });
	connections();
	expect(seen.records).toBe(0);
	expect(await service.stop()).toEqual({ kept: false, notKept: [], recordsDropped: 0 });
	return seen.records;
}

test('with enough time, a stop drains all records', async () => {
	// each connection opens and closes; whether its accept is observed depends on the kernel
	expect([2 * count, 3 * count]).toContain(await drained());
});

test('without enough time, a stop counts the records that it drops', async () => {
	const all = await drained();
	const { service, seen } = await start({ pin: 'off' });
	connections();
	seen.eachMs = slowMs;
	const { recordsDropped } = await service.stop();
	expect(recordsDropped).toBeGreaterThan(0);
	expect(seen.records + recordsDropped).toBe(all);
});

test('with on_exit: keep, the next daemon drains what is left', async () => {
	const all = await drained();
	const first = await start({ pin });
	connections();
	first.seen.eachMs = slowMs;
	expect(await first.service.stop('keep')).toEqual({ kept: true, notKept: [], recordsDropped: 0 });
	expect(first.seen.records).toBeLessThan(all);
	const second = await start({ pin });
	await second.service.stop('detach');
	expect(first.seen.records + second.seen.records).toBe(all);
	expect(existsSync(pin)).toBe(false);
});

test('the last line of the log has the number of dropped records', async () => {
	await using daemon = await Daemon.start({ config: `listeners: {ports: [${port}]}` });
	await daemon.stop();
	expect(daemon.log.at(-1)).toMatchObject({ msg: 'stopped: detached', on_exit: 'detach', records_dropped: 0 });
});

test('a stop with spans for a gRPC collector that never responds ends in time, and logs how many spans were dropped', async () => {
	// it accepts connections and never responds
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
		const connected = once(collector, 'connection');
		for (let made = 0; made < 5; made++) {
			await using _ = await stage.connect('AF_INET', 'nat64');
		}
		await connected;
		const began = performance.now();
		expect(await daemon.stop()).toBe(0);
		expect(performance.now() - began).toBeLessThan(scaleTimeout(3000));
		expect(daemon.log.find(({ msg }) => msg === 'spans were lost while stopping')).toMatchObject({ spans: 5 });
	} finally {
		collector.close();
	}
});
