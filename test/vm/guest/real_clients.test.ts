// SPDX-License-Identifier: Apache-2.0
/**
 * Applications get the right client of each connection, with either provider: nginx with
 * `transparent: on`, and a C program that was written for the vendor's module.
 */
import { once } from 'node:events';
import { createInterface, type Interface } from 'node:readline';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server } from '../../../daemon/lab/lab.ts';
import type { LabClient } from '../../../daemon/lab/lab_client.ts';
import { RunningApplication } from '../../kit/applications/running.ts';
import { nginx } from '../../kit/applications/servers.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { compile } from '../../kit/kernel/c_program.ts';
import { loadToa, unloadToa } from '../../kit/kernel/module.ts';
import { hasModule } from '../../kit/kernel/module_file.ts';
import { somePorts } from '../../kit/wire/toa_stage.ts';

const clients = 100;
const count = 300;
const [nginxPort, patchedPort] = [10_001, 10_002];
const port = somePorts(2);

let lab: Lab;
let client: LabClient;
let web: RunningApplication;
/** What the patched program prints. */
let printed: Interface;

beforeAll(async () => {
	lab = await Lab.open({
		routes: [
			{ listenPort: nginxPort, backendPort: port, profile: 'nat64' },
			{ listenPort: patchedPort, backendPort: port + 1, profile: 'nat64' },
		],
	});
	client = await lab.client();
	web = await RunningApplication.start(lab, nginx, 'AF_INET6 dual-stack', port);
	const patched = lab.spawn('server', compile('toa_so_get_lookup'), [String(port + 1)], {
		stdio: ['ignore', 'pipe', 'inherit'],
	});
	printed = createInterface({ input: patched.stdout as Readable });
	expect(await once(printed, 'line')).toEqual(['{"ready":true}']);
});
afterAll(async () => {
	await web?.[Symbol.asyncDispose]();
	await lab?.close();
});

/** The next lines that the program prints, sorted. */
async function lines(wanted: number): Promise<string[]> {
	const found: string[] = [];
	const whole = Promise.withResolvers<void>();
	const onLine = (line: string) => {
		if (found.push(line) === wanted) whole.resolve();
	};
	printed.on('line', onLine);
	await whole.promise;
	printed.off('line', onLine);
	return found.sort();
}

const connect = async (listenPort: number, text: string) => {
	const batch = { clients, count, to: nat64Server, port: listenPort, text, concurrency: 32 };
	const results = await client.run({ from: '2001:db8:c::1', ...batch });
	expect(new Set(results.map((result) => result.client)).size).toBe(clients);
	return results;
};

describe.each(hasModule ? ['bpf', 'module'] : ['bpf'])('provider %s', (provider) => {
	let daemon: Daemon;

	beforeAll(async () => {
		if (provider === 'module') await loadToa();
		const config = [
			`provider: ${provider}`,
			`listeners: {ports: [${port}-${port + 1}]}`,
			`transparent: {enabled: on, ports: [${port}]}`,
		];
		daemon = await Daemon.start({ config: config.join('\n') });
		expect(await daemon.logged(/^attached/)).toMatchObject({ provider });
	});
	afterAll(async () => {
		await daemon?.stop();
		if (provider === 'module') await unloadToa();
	});

	it(`nginx logs the client of each of ${count} connections of ${clients} clients`, async () => {
		const results = await connect(nginxPort, 'GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n');
		expect(results.filter(({ error }) => error !== undefined)).toEqual([]);
		const logged = await web.logged(count);
		expect(logged.map((line) => `${line.address} ${line.port}`).sort()).toEqual(
			results.map((result) => `${result.client} ${result.clientPort}`).sort(),
		);
	});

	it('getsockopt(4096) returns the client of each of as many to the patched program', async () => {
		const [results, printedLines] = await Promise.all([connect(patchedPort, 'hello'), lines(count)]);
		expect(printedLines).toEqual(results.map((result) => `real client [${result.client}]:${result.clientPort}`).sort());
	});
});
