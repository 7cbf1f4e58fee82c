// SPDX-License-Identifier: Apache-2.0
/**
 * Sweeps while connections open and close, as many as this machine can make: what a sweep must
 * never do. Also with connections in socket storage, which is possible on any kernel.
 */
import { setImmediate as yieldLoop } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { BpfProvider } from '../../daemon/capture/bpf_provider.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { probed, storageModes } from '../kit/kernel/storage_modes.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const connections = 30_000;
const bytes = 40;
const port = somePorts(1);
/** The address of the gateway's own listener, as the daemon shows it. */
const gateway = new URL(`http://[${nat64Server}]`).hostname.slice(1, -1);

describe.each(storageModes)('$storage', ({ features }) => {
	it('counts no FIN as a byte, and adds no listener, while servers that have sent nothing close', async () => {
		await using lab = await Lab.open({ routes: [{ listenPort: port, backendPort: port, profile: 'nat64' }] });
		await lab.echoServer({ port });
		const client = await lab.client();
		const settings = { listeners: { ports: [port] }, trust: [network.pool], bpf: { pin: 'off' } };
		const provider = BpfProvider.open(
			toConfig(fileSchema.parse(settings), {}),
			bpfReader,
			{ info() {}, warn() {}, error() {} },
			{ ...probed, features },
		);
		try {
			let done = false;
			const batch = { from: '2001:db8:c::1', clients: 100, count: connections, to: nat64Server, port, send: bytes };
			const results = client.run(batch).finally(() => {
				done = true;
			});
			while (!done) {
				await provider.flush(() => yieldLoop());
				await yieldLoop();
			}
			expect((await results).filter(({ error }) => error !== undefined)).toEqual([]);
			const all = { opened: BigInt(connections), closed: BigInt(connections) };
			const received = { receivedBytes: BigInt(connections * bytes), sentBytes: 0n };
			for (const [listener, verdict] of [
				[network.server, 'toa'],
				[gateway, 'none'],
			] as const) {
				await expect.poll(() => closed(provider, listener), { timeout: scaleTimeout(20_000) }).toBe(all.closed);
				const { total, direct, handshakes, accepts } = at(provider, listener) ?? {};
				expect(total).toMatchObject({ ...all, ...received });
				expect(handshakes).toMatchObject({ [verdict]: all.opened });
				expect(Object.values(accepts ?? {}).reduce((sum, count) => sum + count, 0n)).toBe(all.opened);
				expect(verdict === 'toa' ? clients(provider) : direct).toMatchObject({ ...all, ...received });
			}
			const listeners = provider.counters.readListeners().filter(({ endpoint }) => endpoint !== undefined);
			// the gateway's own listener has the same port
			for (const { endpoint } of listeners) expect(endpoint?.port).toBe(port);
		} finally {
			provider.close(false);
		}
	});
});

function at(provider: BpfProvider, address: string) {
	return provider.counters.readListeners().find(({ endpoint }) => endpoint?.text === address);
}

/** The number of closed connections of a listener, which a sweep counts. */
async function closed(provider: BpfProvider, address: string) {
	await provider.counters.sweep(() => yieldLoop());
	return at(provider, address)?.total.closed;
}

/** The sums of all clients. */
function clients(provider: BpfProvider) {
	const sum = { opened: 0n, closed: 0n, receivedBytes: 0n, sentBytes: 0n };
	for (const page of provider.counters.readClients()) {
		for (let index = 0; index < page.length; index++) {
			const traffic = page.traffic(index);
			for (const name of Object.keys(sum) as (keyof typeof sum)[]) sum[name] += traffic[name];
		}
	}
	return sum;
}
