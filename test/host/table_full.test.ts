// SPDX-License-Identifier: Apache-2.0
/**
 * Far more open connections than the table has slots: every connection is counted, and no
 * application gets the client of another connection.
 */
import { expect, test } from 'vitest';
import { Holding } from '../../bench/holding.ts';
import { Sandbox } from '../../bench/sandbox.ts';
import { Lab, network } from '../../daemon/lab/lab.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { noToaError } from '../kit/wire/no_toa_error.ts';
import { Probe } from '../kit/wire/probe.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';
import { Wire } from '../kit/wire/wire.ts';

const slots = 1024;
const clients = 500;
const count = (samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}) =>
	total(samples, `toascope_${name}`, labels);

test.each([4000, 100_000])(
	'%i open connections in 1,024 slots',
	{ timeout: scaleTimeout(240_000) },
	async (connections) => {
		await using sandbox = await Sandbox.open(new AbortController().signal);
		await using daemon = await Daemon.start({
			config: [
				`cgroup: ${sandbox.cgroup('with')}`,
				`connections: {max: ${slots}}`,
				`clients: {max_exported: ${clients}, per_prefix: off}`,
			].join('\n'),
		});
		await using holding = await Holding.start(sandbox, clients);
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
	},
);

test('an application that keeps its socket gets no client once another connection has the slot', async () => {
	const port = somePorts(1);
	const listener = `${network.server}:${port}`;
	const lab = await Lab.open();
	try {
		const wire = await Wire.open(lab);
		await using daemon = await Daemon.start({
			// listeners.ports stays at its default, all ports, since a closed socket has no port
			// any more
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
