// SPDX-License-Identifier: Apache-2.0
/**
 * An application patched for toa.ko (apps/toa_so_get_lookup.c) runs unchanged, and prints the
 * client of each connection.
 */
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { compile } from '../kit/kernel/c_program.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const count = 40;
const clients = 8;
const port = somePorts(1);
const profiles = ['nat64', 'toa6', 'none'] as const;
const listenPort = (profile: (typeof profiles)[number]) => 10_000 + profiles.indexOf(profile);

let lab: Lab;
let client: LabClient;
let daemon: Daemon;
/** The next lines that the application prints. */
let printed: (lines: number) => Promise<string[]>;

beforeAll(async () => {
	lab = await Lab.open({
		routes: profiles.map((profile) => ({ listenPort: listenPort(profile), backendPort: port, profile })),
	});
	[client, daemon] = await Promise.all([
		lab.client(),
		Daemon.start({ config: `listeners: {ports: [${port}]}\ntrust: [198.51.100.0/24]` }),
	]);
	const child = lab.spawn('server', compile('toa_so_get_lookup'), [String(port)], {
		stdio: ['ignore', 'pipe', 'pipe'],
	});
	const outputs = [child.stdout, child.stderr].map((stream) =>
		createInterface({ input: stream as NonNullable<typeof stream> }),
	);
	const lines: string[] = [];
	let wake = () => {};
	for (const each of outputs) {
		each.on('line', (line) => {
			lines.push(line);
			wake();
		});
	}
	printed = async (wanted) => {
		while (lines.length < wanted) {
			await new Promise<void>((resolve) => {
				wake = resolve;
			});
		}
		return lines.splice(0, wanted);
	};
	expect(await printed(1)).toEqual(['{"ready":true}']);
});
afterAll(async () => {
	await daemon.stop();
	await lab.close();
});

const request = (profile: (typeof profiles)[number], from: string, batch: { count: number; clients: number }) =>
	client.run({ from, ...batch, to: nat64Server, port: listenPort(profile), text: 'hello' });

it.each(['nat64', 'toa6'] as const)('%s: prints each of several clients', async (profile) => {
	const results = await request(profile, '2001:db8:c::1', { count, clients });
	const truth = results.map((result) => `real client [${result.client}]:${result.clientPort}`);
	expect(new Set(results.map((result) => result.client)).size).toBe(clients);
	expect((await printed(count)).sort()).toEqual(truth.sort());
});

it.each(['nat64', 'toa6'] as const)('%s: prints the client of one connection', async (profile) => {
	const [result] = await request(profile, '2001:db8:c::1', { count: 1, clients: 1 });
	expect(await printed(1)).toEqual([`real client [2001:db8:c::1]:${result?.clientPort}`]);
});

it('without an option: prints the error that toa.ko returns', async () => {
	await request('none', '2001:db8:c::1', { count: 1, clients: 1 });
	expect(await printed(1)).toEqual(['getsockopt: Invalid argument']);
});
