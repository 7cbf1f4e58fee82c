// SPDX-License-Identifier: Apache-2.0
/**
 * Slots of listeners: two connections that arrive at a new listener at the same moment use one
 * slot, and none leaks.
 */
import { availableParallelism } from 'node:os';
import { setImmediate as yieldLoop } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { BpfProvider } from '../../daemon/capture/bpf_provider.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { listenerKeyLayout, listenerSlotLayout } from '../../daemon/capture/records/layout.gen.ts';
import { u32 } from '../../daemon/capture/records/records.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { runToExit } from '../../daemon/lab/process.ts';
import { BarePrograms } from '../kit/kernel/bare_programs.ts';
import { compile } from '../kit/kernel/c_program.ts';
import { clientAddress, somePorts } from '../kit/wire/toa_stage.ts';

const count = 8000;
const port = somePorts(1);

it.skipIf(availableParallelism() < 2)('each listener gets a slot as long as one is free', async () => {
	await using lab = await Lab.open();
	// one slot more than listeners: while the last listener is being added, two slots are in use
	const settings = { listeners: { ports: [port], max: count + 1 }, bpf: { pin: 'off' } };
	const provider = BpfProvider.open(toConfig(fileSchema.parse(settings), {}), bpfReader, {
		info() {},
		warn() {},
		error() {},
	});
	try {
		const rivals = lab.spawn('server', compile('rivals'), [String(port), String(count)], { stdio: 'pipe' });
		await runToExit(rivals, 'rivals', '');
		await provider.counters.sweep(() => yieldLoop());
		const listeners = provider.counters.readListeners();
		// one more for "other"
		expect(listeners).toHaveLength(count + 1);
		for (const { endpoint, total } of listeners) expect(total.opened).toBe(endpoint === undefined ? 0n : 2n);
		expect(provider.counters.drops()).toMatchObject({ listeners_full: 0n, listener_slot: 0n });
	} finally {
		provider.close(false);
	}
});

it('a slot with the key of a listener that has another slot gets none of its connections', async () => {
	const [server, gateway] = [somePorts(1), 10_000];
	await using lab = await Lab.open({ routes: [{ listenPort: gateway, backendPort: server, profile: 'nat64' }] });
	await lab.echoServer({ port: server });
	using programs = new BarePrograms(`${network.server}:${server}`, { listeners: { ports: [server] } });
	const { bpf } = programs;
	// the state that a CPU leaves behind if another CPU added the same listener first: `service` is
	// even, and the key is set
	const [slot, service] = [7, 2];
	const key = Buffer.alloc(listenerKeyLayout.size);
	key.set(network.server.split('.').map(Number));
	key.writeUInt16LE(server, 16);
	key[18] = 4;
	const entry = Buffer.alloc(listenerSlotLayout.size);
	entry.set(key, listenerSlotLayout.key);
	entry.writeUInt32LE(service, listenerSlotLayout.service);
	bpf.map('listener_keys').update(u32(slot), entry);
	// and a cached guess from the previous use of the slot
	bpf.map('listener_guesses').update(u32(server), Buffer.concat([u32(slot), u32(0)]));
	const client = await lab.client();
	await client.run({ from: clientAddress, clients: 1, to: nat64Server, port: gateway, send: 1, receive: 0 });
	await programs.closed(1);
});
