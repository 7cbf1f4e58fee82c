// SPDX-License-Identifier: Apache-2.0
/**
 * The lines of docs/in-process.md, compiled and run behind the lab's gateway: the attributes that
 * they set on a span are the address and port that the client itself used.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { buildServer, type LanguageName, languages } from '../kit/in_process/snippets.ts';
import { Lines } from '../kit/node_package/apps.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { clientAddress, ipv4Of, somePorts } from '../kit/wire/toa_stage.ts';

const names = Object.keys(languages) as LanguageName[];
const profiles = ['nat64', 'toa4', 'none'] as const;
const firstPort = somePorts(names.length);
const port = (language: LanguageName) => firstPort + names.indexOf(language);
const listenPort = (language: LanguageName, profile: (typeof profiles)[number]) =>
	10_000 + names.indexOf(language) * profiles.length + profiles.indexOf(profile);

let lab: Lab;
let client: LabClient;
let daemon: Daemon;

beforeAll(async () => {
	lab = await Lab.open({
		routes: names.flatMap((name) =>
			profiles.map((profile) => ({
				listenPort: listenPort(name, profile),
				backendPort: port(name),
				profile,
			})),
		),
	});
	client = await lab.client();
	const last = firstPort + names.length - 1;
	daemon = await Daemon.start({ config: `listeners: {ports: ["${firstPort}-${last}"]}\ntrust: [${network.pool}]` });
});
afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
});

describe.each(names)('%s', (name) => {
	let note: string | undefined;

	beforeAll(async () => {
		const server = await buildServer(name);
		if ('note' in server) {
			note = server.note;
			return;
		}
		const [program = '', ...args] = [...server.command, '0.0.0.0', String(port(name))];
		await new Lines(lab.spawn('server', program, args, { stdio: ['ignore', 'pipe', 'inherit'] })).next();
	}, scaleTimeout(300_000));

	async function attributesOf(profile: (typeof profiles)[number]) {
		const text = 'http' in languages[name] ? 'GET / HTTP/1.0\r\n\r\n' : 'x';
		const to = { from: clientAddress, to: nat64Server, port: listenPort(name, profile), text };
		const [made] = await client.run(to);
		return { made, attributes: JSON.parse(made?.reply?.trim().split('\n').at(-1) ?? '') as unknown };
	}

	it.for([
		['nat64', clientAddress],
		['toa4', ipv4Of(clientAddress)],
	] as const)('a client in an option of %s', async ([profile, address], { skip }) => {
		if (note !== undefined) return skip(note);
		const { made, attributes } = await attributesOf(profile);
		expect(attributes).toEqual({ 'client.address': address, 'client.port': made?.clientPort });
	});

	it('a connection without an option', async ({ skip }) => {
		if (note !== undefined) return skip(note);
		expect((await attributesOf('none')).attributes).toEqual({});
	});
});
