// SPDX-License-Identifier: Apache-2.0
/**
 * Servers in the kernel: nfsd, which grants access by its peer's address, never gets one from an
 * option.
 */
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../../daemon/lab/lab.ts';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { closedConnection } from '../../kit/daemon/lookup.ts';
import { compile } from '../../kit/kernel/c_program.ts';
import { Probe } from '../../kit/wire/probe.ts';
import { toaOption } from '../../kit/wire/toa_option.ts';
import { somePorts } from '../../kit/wire/toa_stage.ts';
import { Wire, wireNetwork } from '../../kit/wire/wire.ts';
import type { WireConnection } from '../../kit/wire/wire_connection.ts';

const client = '203.0.113.7';
const option = toaOption('toa4', client);
const port = somePorts(2);

/** RFC 5531 and RFC 7530: COMPOUND with PUTROOTFH, of the user root (AUTH_SYS), as one record. */
function nfsCall(): string {
	const words = (...values: number[]) => {
		const bytes = Buffer.alloc(4 * values.length);
		for (const [at, value] of values.entries()) bytes.writeUInt32BE(value, 4 * at);
		return bytes;
	};
	const [call, rpcVersion, nfs, nfsVersion, compound, authSys, authNone, putRootFh] = [0, 2, 100_003, 4, 1, 1, 0, 24];
	const credentials = words(0, 0, 0, 0, 0);
	const message = Buffer.concat([
		words(7, call, rpcVersion, nfs, nfsVersion, compound, authSys, credentials.length),
		credentials,
		words(authNone, 0, 0, 0, 1, putRootFh),
	]);
	return Buffer.concat([words(0x8000_0000 + message.length), message]).toString('latin1');
}

describe.skipIf(spawnSync('modprobe', ['nfsd']).status !== 0)('nfsd', () => {
	let lab: Lab;
	let wire: Wire;

	beforeAll(async () => {
		lab = await Lab.open();
		wire = await Wire.open(lab);
	});
	afterAll(async () => {
		await lab?.close();
	});

	async function open(to: number): Promise<WireConnection> {
		const one = wire.connection({ to });
		one.syn();
		await one.synAck();
		one.acknowledge(option);
		return one;
	}

	it('with transparent: on, its peer is the balancer, while other servers get the client', async () => {
		const config = `listeners: {ports: [${port}-${port + 1}]}\ntransparent: on\ntrust: ["${wireNetwork.hosts4}"]`;
		await using daemon = await Daemon.start({ config });
		const server = lab.spawn('server', compile('nfs_server'), [String(port)], { stdio: 'pipe' });
		const asked = Promise.withResolvers<unknown>();
		await untilReady(server, 'nfs_server', isReadyLine, asked.resolve);
		const one = await open(port);
		one.data(nfsCall());
		expect(await asked.promise).toEqual({ address: one.endpoints.from });
		one.reset();
		expect(await closedConnection(daemon, one.peer)).toMatchObject({ verdict: 'toa', client: { address: client } });
		server.stdin?.end();
		await stop(server, 'SIGTERM');

		const probe = await Probe.start(lab, '4', port + 1);
		const [accepted, other] = await Promise.all([probe.accept(), open(port + 1)]);
		expect(accepted).toMatchObject({ address: client });
		other.reset();
	});
});
