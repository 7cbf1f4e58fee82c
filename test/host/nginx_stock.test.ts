// SPDX-License-Identifier: Apache-2.0
/**
 * Debian's nginx with the site that its package ships, with `transparent` on: with the README's
 * recipe it logs IPv6 clients, across reloads and restarts; what the recipe warns about happens as
 * described.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { findProgram } from '../kit/applications/application.ts';
import { Daemon } from '../kit/daemon/daemon.ts';

const shipped = join(import.meta.dirname, '../../build/tools/root/etc/nginx');
const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const client = '2001:db8:c::7107';
const listenPort = 8080;

const missing =
	findProgram('nginx') === undefined || !existsSync(shipped) ? "Debian's nginx is not unpacked here" : undefined;

let lab: Lab;
let daemon: Daemon;
let clients: LabClient;
let straight: LabClient;

beforeAll(async () => {
	if (missing !== undefined) return;
	lab = await Lab.open();
	await lab.gateway([{ listenPort, backendPort: 80, profile: 'nat64' }]);
	clients = await lab.client();
	straight = await lab.client('gateway');
	daemon = await Daemon.start({
		config: `listeners: {ports: [80]}\ntransparent: on\ntrust: [${network.pool}]`,
	});
});
afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
});

/** nginx with a copy of the package's configuration in its own directory; the site is unchanged. */
class Nginx implements AsyncDisposable {
	readonly directory = mkdtempSync(join(tmpdir(), 'toascope-test-nginx-'));
	readonly site = join(this.directory, 'sites-available/default');
	readonly #log = join(this.directory, 'access.log');
	#lines = 0;

	constructor() {
		cpSync(shipped, this.directory, { recursive: true });
		mkdirSync(join(this.directory, 'www'));
		const file = join(this.directory, 'nginx.conf');
		const conf = readFileSync(file, 'utf8')
			.replaceAll('/etc/nginx/', `${this.directory}/`)
			.replaceAll('/var/log/nginx/', `${this.directory}/`)
			.replace('/run/nginx.pid', join(this.directory, 'nginx.pid'))
			.replace('user www-data', 'user root')
			.replace('worker_processes auto', 'worker_processes 1')
			.replace('sites-enabled/*', 'sites-available/default')
			.replace(/include \S*modules-enabled\S*;/, '')
			.replace(
				'http {',
				`http {\n${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${this.directory}/${name};`).join('\n')}`,
			);
		writeFileSync(file, conf);
	}

	/**
	 * Runs nginx in the server's namespace. Resolves with its exit code and its output. Without
	 * arguments nginx starts, and continues in the background.
	 */
	async run(...args: string[]): Promise<{ code: number; output: string }> {
		const files = ['-p', this.directory, '-c', join(this.directory, 'nginx.conf')];
		const child = lab.spawn('server', 'nginx', [...files, '-e', join(this.directory, 'error.log'), ...args], {
			stdio: 'pipe',
		});
		let output = '';
		child.stderr?.on('data', (part: Buffer) => {
			output += part.toString();
		});
		const [code] = (await once(child, 'exit')) as [number];
		// the process in the background writes the file with its pid
		while (args.length === 0 && code === 0 && !(this.#master > 0))
			await new Promise((resolve) => setTimeout(resolve, 20));
		return { code, output };
	}

	get #master(): number {
		const file = join(this.directory, 'nginx.pid');
		return existsSync(file) ? Number(readFileSync(file, 'utf8')) : 0;
	}

	/** The pids of its workers: one, or two during a reload. */
	#workers(): string {
		const pid = this.#master;
		return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
	}

	/**
	 * Reloads. Resolves when that is over, with either outcome: there are new workers, or the error
	 * log says why not.
	 */
	async reload(): Promise<void> {
		// the master process starts its worker after the command that started the master has exited
		while (this.#workers() === '') await new Promise((resolve) => setTimeout(resolve, 20));
		const before = this.#workers();
		const errors = this.errors().length;
		expect((await this.run('-s', 'reload')).code).toBe(0);
		const isOver = () =>
			this.errors().slice(errors).includes('still could not bind()') ||
			(this.#workers() !== '' && !this.#workers().split(' ').includes(before));
		while (!isOver()) await new Promise((resolve) => setTimeout(resolve, 20));
	}

	async stop(): Promise<void> {
		const pid = this.#master;
		await this.run('-s', 'stop');
		while (existsSync(`/proc/${pid}`)) await new Promise((resolve) => setTimeout(resolve, 20));
	}

	errors(): string {
		const file = join(this.directory, 'error.log');
		return existsSync(file) ? readFileSync(file, 'utf8') : '';
	}

	/** Applies the recipe's command, exactly as it is in the README, to this site. */
	applyRecipe(): void {
		const [command = ''] = /^sed -i '.*default$/m.exec(readme) ?? [];
		expect(command).toMatch(/ \/etc\/nginx\/sites-available\/default$/);
		execFileSync('sh', ['-c', command.replace('/etc/nginx/', `${this.directory}/`)]);
	}

	/** Makes a request. Resolves with the first word of its line in the access log. */
	async logged(by: LabClient, to: string, port: number, from?: string): Promise<string> {
		const [made] = await by.run({
			...(from === undefined ? {} : { from }),
			to,
			port,
			text: 'GET / HTTP/1.0\r\n\r\n',
		});
		if (made?.error !== undefined) return made.error;
		for (;;) {
			const lines = existsSync(this.#log) ? readFileSync(this.#log, 'utf8').trim().split('\n') : [''];
			if (lines.length > this.#lines && lines[0] !== '') {
				this.#lines = lines.length;
				return lines.at(-1)?.split(' ')[0] ?? '';
			}
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (existsSync(join(this.directory, 'nginx.pid'))) await this.stop();
		rmSync(this.directory, { recursive: true });
	}
}

const loggedIpv6Client = (nginx: Nginx) => nginx.logged(clients, nat64Server, listenPort, client);
const loggedIpv4Host = (nginx: Nginx) => nginx.logged(straight, network.server, 80);

describe.skipIf(missing !== undefined)('the site that Debian ships', () => {
	it('logs the balancer for IPv6 clients', async () => {
		await using nginx = new Nginx();
		expect(await nginx.run()).toMatchObject({ code: 0 });
		expect(await loggedIpv6Client(nginx)).toMatch(/^198\.51\.100\./);
		await nginx.stop();
	});

	it('with the recipe of the README, logs IPv6 clients after restarts and reloads, and IPv4 hosts as before', async () => {
		await using nginx = new Nginx();
		expect(await nginx.run()).toMatchObject({ code: 0 });
		expect(await loggedIpv6Client(nginx)).toMatch(/^198\.51\.100\./);
		nginx.applyRecipe();
		expect(readFileSync(nginx.site, 'utf8').match(/^\s*listen .*$/gm)).toEqual([
			'\tlisten [::]:80 default_server ipv6only=off;',
		]);
		expect(await nginx.run('-t')).toMatchObject({ code: 0 });
		for (let restart = 0; restart < 2; restart++) {
			await nginx.stop();
			expect(await nginx.run()).toMatchObject({ code: 0 });
			expect(await loggedIpv6Client(nginx)).toBe(client);
			await nginx.reload();
			expect(await loggedIpv6Client(nginx)).toBe(client);
			expect(await loggedIpv4Host(nginx)).toMatch(/^::ffff:/);
		}
		await nginx.stop();
	});

	it('with `listen [::]:80 ipv6only=off` next to `listen 80`: nginx -t succeeds, a reload changes nothing, the next start fails', async () => {
		await using nginx = new Nginx();
		expect(await nginx.run()).toMatchObject({ code: 0 });
		const site = readFileSync(nginx.site, 'utf8');
		writeFileSync(
			nginx.site,
			site.replace('listen [::]:80 default_server;', 'listen [::]:80 default_server ipv6only=off;'),
		);
		expect(await nginx.run('-t')).toMatchObject({ code: 0 });
		await nginx.reload();
		expect(await loggedIpv6Client(nginx)).toMatch(/^198\.51\.100\./);
		await nginx.stop();
		expect(await nginx.run()).toMatchObject({ code: 1, output: expect.stringContaining('Address already in use') });
	});

	it('with the recipe and only a reload, refuses IPv4 connections until the restart', async () => {
		await using nginx = new Nginx();
		expect(await nginx.run()).toMatchObject({ code: 0 });
		nginx.applyRecipe();
		await nginx.reload();
		expect(await loggedIpv4Host(nginx)).toMatch(/ECONNREFUSED/);
		await nginx.stop();
		expect(await nginx.run()).toMatchObject({ code: 0 });
		expect(await loggedIpv4Host(nginx)).toMatch(/^::ffff:/);
		await nginx.stop();
	});
});
