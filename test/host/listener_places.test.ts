// SPDX-License-Identifier: Apache-2.0
/** Places of listeners: two connections that arrive at a new one at the same moment take one place, and lose none. */
import { availableParallelism } from 'node:os';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { listenerKeyLayout, listenerSlotLayout } from '../../daemon/capture/layout.gen.ts';
import { Programs } from '../../daemon/capture/programs.ts';
import { bpfReader } from '../../daemon/capture/provider.ts';
import { toConfig } from '../../daemon/config/config.ts';
import { fileSchema } from '../../daemon/config/schema.ts';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import { finish } from '../../daemon/lab/process.ts';
import { BarePrograms } from '../fixtures/bare_programs.ts';
import { compile } from '../fixtures/c_program.ts';
import { clientAddress, somePorts } from '../fixtures/stage.ts';

const count = 8000;
const port = somePorts(1);

it.skipIf(availableParallelism() < 2)('each listener finds a place while there are any', async () => {
	await using lab = await Lab.open();
	// one more: while the last of them is made, two are taken
	const settings = { listeners: { ports: [port], max: count + 1 }, bpf: { pin: 'off' } };
	const provider = Programs.open(toConfig(fileSchema.parse(settings), {}), bpfReader, {
		info() {},
		warn() {},
		error() {},
	});
	try {
		const rivals = lab.spawn('server', compile('rivals'), [String(port), String(count)], { stdio: 'pipe' });
		await finish(rivals, 'rivals', '');
		await provider.counters.sweep(() => turn());
		const listeners = provider.counters.readListeners();
		// and "other"
		expect(listeners).toHaveLength(count + 1);
		for (const { endpoint, total } of listeners) expect(total.opened).toBe(endpoint === undefined ? 0n : 2n);
		expect(provider.counters.drops()).toMatchObject({ listeners_full: 0n, listener_slot: 0n });
	} finally {
		provider.close(false);
	}
});

const word = (value: number) => {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return bytes;
};

it("a slot with the name of a listener that is another slot's takes none of its connections", async () => {
	const [server, gateway] = [somePorts(1), 10_000];
	await using lab = await Lab.open({ routes: [{ listenPort: gateway, backendPort: server, profile: 'nat64' }] });
	await lab.echoServer({ port: server });
	using programs = new BarePrograms(`${network.server}:${server}`, { listeners: { ports: [server] } });
	const { bpf } = programs;
	// as a processor leaves it that was overtaken by another in making the listener: even, and with its name
	const [slot, service] = [7, 2];
	const key = Buffer.alloc(listenerKeyLayout.size);
	key.set(network.server.split('.').map(Number));
	key.writeUInt16LE(server, 16);
	key[18] = 4;
	const entry = Buffer.alloc(listenerSlotLayout.size);
	entry.set(key, listenerSlotLayout.key);
	entry.writeUInt32LE(service, listenerSlotLayout.service);
	bpf.update('listener_keys', word(slot), entry);
	// and a guess from the slot's life before
	bpf.update('listener_guesses', word(server), Buffer.concat([word(slot), word(0)]));
	const client = await lab.client();
	await client.run({ from: clientAddress, clients: 1, to: nat64Server, port: gateway, send: 1, receive: 0 });
	await programs.closed(1);
});
