// SPDX-License-Identifier: Apache-2.0
/** Far more open connections than the table has slots: none is uncounted, and no application is told another's client. */
import { expect, test } from 'vitest';
import { Ground } from '../../bench/ground.ts';
import { Holding } from '../../bench/holding.ts';
import { Lab, network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { noToaError } from '../fixtures/no_toa_error.ts';
import { patient } from '../fixtures/patience.ts';
import { Probe } from '../fixtures/probe.ts';
import { somePorts } from '../fixtures/stage.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { Wire } from '../fixtures/wire.ts';

const slots = 1024;
const clients = 500;
const count = (samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}) =>
	total(samples, `toascope_${name}`, labels);

test.each([4000, 100_000])('%i open connections in 1,024 slots', { timeout: patient(240_000) }, async (connections) => {
	await using ground = await Ground.open(new AbortController().signal);
	await using daemon = await Daemon.start({
		config: [
			`cgroup: ${ground.cgroup('with')}`,
			`connections: {max: ${slots}}`,
			`clients: {max_exported: ${clients}, per_prefix: off}`,
		].join('\n'),
	});
	await using holding = await Holding.start(ground, clients);
	await holding.hold({ server: 'with', client: 'without' }, connections);
	const open = await daemon.until((samples) =>
		count(samples, 'connections_opened_total') >= BigInt(connections) ? samples : undefined,
	);
	expect(count(open, 'connections_opened_total')).toBe(BigInt(connections));
	const inStorage = count(open, 'drops_total', { reason: 'connections_full' });
	expect(inStorage).toBeGreaterThanOrEqual(BigInt(connections - slots));
	expect(count(open, 'drops_total', { reason: 'socket_storage' })).toBe(0n);
	await holding.drop();
	const closed = await daemon.until((samples) =>
		count(samples, 'connections_closed_total') >= BigInt(connections) ? samples : undefined,
	);
	expect(count(closed, 'connections_closed_total')).toBe(BigInt(connections));
	expect(count(closed, 'handshakes_total', { result: 'toa' })).toBe(BigInt(connections));
	expect(count(closed, 'client_connections_opened_total')).toBe(BigInt(connections));
	expect(count(closed, 'client_connections_closed_total')).toBe(BigInt(connections));
	expect(count(closed, 'connections_counted_total', { by: 'close' })).toBe(inStorage);
	expect(count(closed, 'drops_total', { reason: 'close_unheard' })).toBe(0n);
	expect(count(closed, 'client_connections_opened_total', { client: 'other' })).toBe(0n);
});

test('an application that keeps its socket is told no client once another connection has the slot', async () => {
	const port = somePorts(1);
	const listener = `${network.server}:${port}`;
	const lab = await Lab.open();
	try {
		const wire = await Wire.open(lab);
		await using daemon = await Daemon.start({
			// a socket that has closed has no port any more: of all ports that is one
			config: 'connections: {max: 1}',
		});
		await using probe = await Probe.start(lab, '4', port);
		const connect = async (client: string) => {
			const connection = wire.connection({ to: port });
			connection.syn({});
			await connection.synAck();
			connection.acknowledge(toaOption('nat64', client));
			return connection;
		};
		const first = await connect('2001:db8::1');
		await probe.accept();
		const ask = async () => probe.getsockopt(0, 4096, 20);
		expect(await ask()).toMatchObject({ result: 0 });
		first.reset();
		await daemon.until((samples) => count(samples, 'connections_closed_total', { listener }) === 1n || undefined);
		const second = await connect('2001:db8::2');
		await daemon.until((samples) => count(samples, 'connections_opened_total', { listener }) === 2n || undefined);
		expect(await ask()).toMatchObject({ result: -1, error: noToaError });
		second.reset();
		await probe.closeConnection();
	} finally {
		await lab.close();
	}
});
