// SPDX-License-Identifier: Apache-2.0
/**
 * What `transparent` changes for nginx, and how to fix it: these tests prove what
 * docs/transparent.md says.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nat64Server, network } from '../../daemon/lab/lab.ts';
import { findProgram } from '../kit/applications/application.ts';
import { lineOf, routeTo, stderrOf, TransparentStage } from '../kit/applications/transparent_stage.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { Wire } from '../kit/wire/wire.ts';

const client = '2001:db8:c::7107';
const forwarded = '203.0.113.5';
const port = { realipBalancer: 8001, realipClient: 8002, realipOff: 8003, accepted: 8004, deferred: 8005 } as const;

describe.skipIf(findProgram('nginx') === undefined)('nginx', () => {
	let stage: TransparentStage;
	beforeAll(async () => {
		stage = await TransparentStage.open({
			transparent: [port.realipBalancer, port.realipClient, port.accepted, port.deferred],
			others: [port.realipOff],
			routes: [port.realipBalancer, port.realipClient, port.realipOff].map((each) => routeTo(each, 'nat64')),
		});
		const conf = join(stage.directory, 'nginx.conf');
		const server = (listen: string, more = '') =>
			`server { listen [::]:${listen} ipv6only=off; ${more} location / { return 200; } }`;
		const realip = (from: string) => `set_real_ip_from ${from}; real_ip_header X-Forwarded-For;`;
		writeFileSync(
			conf,
			`daemon off; user root root; pid ${stage.directory}/nginx.pid; error_log stderr; events {}
			http {
				${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${stage.directory}/${name};`).join('\n')}
				log_format seen "$server_port $remote_addr"; access_log ${log()} seen;
				${server(String(port.realipBalancer), realip(`::ffff:${network.pool.replace('/24', '/120')}`))}
				${server(String(port.realipClient), realip('2001:db8:c::/64'))}
				${server(String(port.realipOff), realip(network.pool))}
				${server(String(port.accepted))}
				${server(`${port.deferred} deferred`)}
			}`,
		);
		const child = stage.lab.spawn('server', 'nginx', ['-p', stage.directory, '-c', conf, '-e', 'stderr'], {
			stdio: 'pipe',
		});
		stderrOf(child);
		const pid = join(stage.directory, 'nginx.pid');
		while (!existsSync(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
	});
	afterAll(() => stage?.[Symbol.asyncDispose]());

	const log = () => join(stage.directory, 'access.log');
	const read = () => (existsSync(log()) ? readFileSync(log(), 'utf8') : '');

	async function logged(to: number): Promise<string> {
		const [made] = await stage.clients.run({
			from: client,
			to: nat64Server,
			port: to,
			text: `GET / HTTP/1.0\r\nX-Forwarded-For: ${forwarded}\r\n\r\n`,
		});
		expect(made?.error).toBeUndefined();
		const found = await lineOf(read, new RegExp(`^${to} `));
		return found.split(' ')[1] ?? '';
	}

	it('realip: the trusted balancer is not the peer any more, and its header is ignored', async () => {
		expect(await logged(port.realipOff)).toBe(forwarded);
		expect(await logged(port.realipBalancer)).toBe(client);
	});

	it('realip: the proxies in front of the balancer must be trusted', async () => {
		expect(await logged(port.realipClient)).toBe(forwarded);
	});

	it('an option on the first data: accept() returns the balancer, and with `deferred` the client', async () => {
		const wire = await Wire.open(stage.lab);
		const request = { options: toaOption('toa4', '192.0.2.42') };
		const early = await wire.connection({ to: port.accepted }).open();
		for (;;) {
			const { connections } = await stage.daemon.json<{ connections: { accepted_at: string | null }[] }>(
				`/v1/connections?peer=${early.peer}`,
			);
			if (connections[0]?.accepted_at) break;
		}
		early.data('GET / HTTP/1.0\r\n\r\n', request);
		expect(await lineOf(read, new RegExp(`^${port.accepted} `))).toMatch(/ ::ffff:198\.18\.0\.1$/);
		const deferred = await wire.connection({ to: port.deferred }).open();
		deferred.data('GET / HTTP/1.0\r\n\r\n', request);
		expect(await lineOf(read, new RegExp(`^${port.deferred} `))).toMatch(/ ::ffff:192\.0\.2\.42$/);
		early.reset();
		deferred.reset();
	});
});
