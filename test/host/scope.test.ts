// SPDX-License-Identifier: Apache-2.0
/**
 * `sockopt` and `transparent` limited to some ports, to a network namespace, and to the listeners
 * of a cgroup.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer, connect as dial } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { Cgroups } from '../kit/kernel/cgroup.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { type OptionResult, type Peer, Probe } from '../kit/wire/probe.ts';
import { clientAddress, isGateway, somePorts } from '../kit/wire/toa_stage.ts';

/**
 * The cgroup in which a listener was opened, and the one to which its process was moved afterwards.
 */
const locations = {
	'in the cgroup': ['served', 'served'],
	'in one below it': ['served/below', 'served/below'],
	'in it by a process that then moved out': ['served', 'beside'],
	'beside it': ['beside', 'beside'],
	'beside it by a process that then moved in': ['beside', 'served'],
	'above it': ['', ''],
} as const;
type Location = keyof typeof locations;
const names = Object.keys(locations) as Location[];
const isServed = (name: Location) => locations[name][0].startsWith('served');

const firstListenPort = 10_000;
const firstPort = somePorts(names.length);
const portOf = (name: Location) => firstPort + names.indexOf(name);
const range = `${firstPort}-${firstPort + names.length - 1}`;

let cgroups: Cgroups;
let lab: Lab;
let client: LabClient;
const probes = new Map<Location, Probe>();

beforeAll(async () => {
	cgroups = Cgroups.open();
	for (const path of ['served/below', 'beside']) cgroups.make(path);
	lab = await Lab.open({
		routes: names.map((name, i) => ({
			listenPort: firstListenPort + i,
			backendPort: portOf(name),
			profile: 'nat64' as const,
		})),
	});
	client = await lab.client();
	for (const name of names) {
		const [opened, moved] = locations[name];
		const probe = await Probe.start(lab, 'dual', portOf(name), cgroups.make(opened));
		if (moved !== opened) writeFileSync(join(cgroups.make(moved), 'cgroup.procs'), String(probe.pid));
		probes.set(name, probe);
	}
});
afterAll(async () => {
	await lab?.close();
	await cgroups?.[Symbol.asyncDispose]();
});

interface Observed {
	readonly client: { readonly address: string; readonly port: number };
	readonly accepted: Peer;
	readonly lookup: OptionResult;
}

/** Makes one connection to the server at this location. Resolves with what the server observed. */
async function connect(name: Location): Promise<Observed> {
	const probe = probes.get(name) as Probe;
	const port = firstListenPort + names.indexOf(name);
	const [accepted, [made]] = await Promise.all([
		probe.accept(),
		client.run({ from: clientAddress, to: nat64Server, port, hold: true }),
	]);
	await probe.read();
	const lookup = await probe.getsockopt(0, 4096, 20);
	expect(await probe.getpeername()).toEqual(accepted);
	await Promise.all([client.release(), probe.closeConnection()]);
	return { client: { address: made?.client ?? '', port: made?.clientPort ?? 0 }, accepted, lookup };
}

const expectClient = ({ accepted, client: { address, port } }: Observed) =>
	expect(accepted).toMatchObject({ address, port });
const expectBalancer = ({ accepted }: Observed) => expect(accepted.address).toSatisfy(isGateway);

function expectAnswer({ lookup, client: { port } }: Observed): void {
	expect(lookup).toMatchObject({ result: 0, length: 20 });
	expect(lookup.bytes.readUInt16BE(16)).toBe(port);
}

describe('cgroup', () => {
	let daemon: Daemon;

	beforeAll(async () => {
		const config = `cgroup: ${cgroups.make('served')}\ntransparent: on\nlisteners: {ports: ["${range}"]}`;
		daemon = await Daemon.start({ config });
	});
	afterAll(async () => {
		await daemon?.stop();
	});

	it.each(names.filter(isServed))('a listener opened %s is served', async (name) => {
		const observed = await connect(name);
		expectClient(observed);
		expectAnswer(observed);
	});

	// a listener, and everything that it accepts, belongs to the cgroup in which its process was
	// when it opened the listener
	it.each(names.filter((name) => !isServed(name)))('a listener opened %s is not served', async (name) => {
		const observed = await connect(name);
		expectBalancer(observed);
		expect(observed.lookup.result).toBe(-1);
	});

	it('and only these listeners are counted', async () => {
		const listeners = await daemon.until((samples) => {
			const found = samples.filter(({ name }) => name === 'toascope_connections_closed_total');
			const closed = found.filter(({ value }) => value !== '0').map(({ labels }) => labels['listener']);
			return closed.length >= names.filter(isServed).length ? closed : undefined;
		});
		expect(listeners.sort()).toEqual(names.filter(isServed).map((name) => `192.0.2.2:${portOf(name)}`));
	});
});

describe('ports', () => {
	const [first = '' as Location, second = '' as Location] = names;

	it('transparent.ports: other ports show the balancer, and getsockopt() answers there as before', async () => {
		const config = `transparent: {enabled: on, ports: [${portOf(first)}]}\nlisteners: {ports: ["${range}"]}`;
		await using _daemon = await Daemon.start({ config });
		const [here, there] = [await connect(first), await connect(second)];
		expectClient(here);
		expectBalancer(there);
		expectAnswer(here);
		expectAnswer(there);
	});

	it('listeners.ports: other ports are not served', async () => {
		await using daemon = await Daemon.start({ config: `transparent: on\nlisteners: {ports: [${portOf(first)}]}` });
		const [here, there] = [await connect(first), await connect(second)];
		expectClient(here);
		expectAnswer(here);
		expectBalancer(there);
		expect(there.lookup.result).toBe(-1);

		// a reload switches to the other port
		await daemon.reload(`transparent: on\nlisteners: {ports: [${portOf(second)}]}`);
		expectBalancer(await connect(first));
		const moved = await connect(second);
		expectClient(moved);
		expectAnswer(moved);
	});
});

describe('listeners.netns: host', () => {
	const [name = '' as Location] = names;
	const config = (netns: string, port = portOf(name)) =>
		`transparent: on\nlisteners: {ports: [${port}], netns: ${netns}}\nbpf: {pin: off}\nlog: {format: json}`;

	it('another network namespace is not served, even for a trusted peer; a reload includes it', async () => {
		await using daemon = await Daemon.start({ config: config('host') });
		expectBalancer(await connect(name));

		await daemon.reload(config('all'));
		const shown = await connect(name);
		expectClient(shown);
		expectAnswer(shown);
		const counted = await daemon.until((samples) => {
			const opened = total(samples, 'toascope_connections_opened_total', {});
			return opened > 0n ? opened : undefined;
		});
		expect(counted).toBe(1n);

		await daemon.reload(config('host'));
		expectBalancer(await connect(name));
	});

	it('the network namespace that toascope runs in is served', async () => {
		// for a daemon started in the lab, it is the server's namespace
		const { pid } = probes.get(name) as Probe;
		const through = ['nsenter', `--net=/proc/${pid}/ns/net`, '--'];
		await using _inside = await Daemon.start({ config: config('host'), through });
		const observed = await connect(name);
		expectClient(observed);
		expectAnswer(observed);

		// for a daemon started by this process, it is that of this process
		const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
		await once(server, 'listening');
		const { port } = server.address() as AddressInfo;
		await using outside = await Daemon.start({ config: config('host', port) });
		const socket = dial(port, '127.0.0.1').resume();
		await once(socket, 'close');
		server.close();
		await outside.until(
			(samples) =>
				total(samples, 'toascope_connections_closed_total', { listener: `127.0.0.1:${port}` }) === 1n || undefined,
		);
	});
});

describe('a daemon for the host, and another for a cgroup', () => {
	it('only applications in the cgroup get the client; everything on the host is counted', async () => {
		const ports = `listeners: {ports: ["${range}"]}`;
		await using host = await Daemon.start({ config: `sockopt: off\n${ports}` });
		await using _cgroup = await Daemon.start({
			config: `cgroup: ${cgroups.make('served')}\ntransparent: on\n${ports}`,
		});
		for (const name of names) {
			const observed = await connect(name);
			if (isServed(name)) {
				expectClient(observed);
				expectAnswer(observed);
			} else {
				expectBalancer(observed);
				expect(observed.lookup.result).toBe(-1);
			}
		}
		const counted = await host.until((samples) => {
			const found = names.map((name) =>
				total(samples, 'toascope_handshakes_total', { listener: `192.0.2.2:${portOf(name)}`, result: 'toa' }),
			);
			return found.every((value) => value > 0n) ? found : undefined;
		});
		expect(counted).toEqual(names.map(() => 1n));
	});
});
