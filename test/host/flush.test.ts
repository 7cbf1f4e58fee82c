// SPDX-License-Identifier: Apache-2.0
/** The flush against connections that open and close under it, as often as this machine can: what it must never do. */
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { BpfProvider } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { formatEndpoint } from '../../daemon/model/address.ts';
import { somePorts } from '../fixtures/stage.ts';

const connections = 30_000;
const bytes = 40;
const port = somePorts(1);

it('counts no FIN as a byte, and makes no listener, while servers close that have sent nothing', async () => {
	await using lab = await Lab.open({ routes: [{ listenPort: port, backendPort: port, profile: 'nat64' }] });
	await lab.echoServer({ port });
	const client = await lab.client();
	const settings = { listeners: { ports: [port] }, trust: [network.pool], bpf: { pin: 'off' } };
	const provider = BpfProvider.open(toConfig(fileSchema.parse(settings), {}), { info() {}, warn() {}, error() {} });
	try {
		let done = false;
		const batch = { from: '2001:db8:c::1', clients: 100, count: connections, to: nat64Server, port, send: bytes };
		const made = client.run(batch).finally(() => {
			done = true;
		});
		while (!done) {
			provider.flush();
			await turn();
		}
		expect((await made).filter(({ error }) => error !== undefined)).toEqual([]);
		await expect.poll(() => server(provider)?.total.closed, { timeout: 20_000 }).toBe(BigInt(connections));
		expect(server(provider)?.total).toMatchObject({
			opened: BigInt(connections),
			receivedBytes: BigInt(connections * bytes),
			sentBytes: 0n,
		});
		const listeners = provider.counters.readListeners().filter(({ endpoint }) => endpoint !== undefined);
		// the gateway's own listener has the same port
		for (const { endpoint } of listeners) expect(endpoint?.port).toBe(port);
	} finally {
		provider.close(false);
	}
});

function server(provider: BpfProvider) {
	const name = `${network.server}:${port}`;
	return provider.counters
		.readListeners()
		.find(({ endpoint }) => endpoint !== undefined && formatEndpoint(endpoint) === name);
}
