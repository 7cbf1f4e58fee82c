// SPDX-License-Identifier: Apache-2.0
/**
 * What `transparent` changes for real programs, and how to fix it: these tests prove what
 * docs/transparent.md says.
 */
import { type ChildProcess, spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { LabClient } from '../../daemon/lab/lab_client.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import { findProgram } from '../kit/applications/application.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { compile } from '../kit/kernel/c_program.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { Wire, wireNetwork } from '../kit/wire/wire.ts';

const client = '2001:db8:c::7107';
const forwarded = '203.0.113.5';
const apps = join(import.meta.dirname, '../kit/apps');

/** Local ports; those whose names end in `On` are in `transparent.ports`. */
const port = {
	realipBalancerOn: 8001,
	realipClientOn: 8002,
	realipOff: 8003,
	acceptedOn: 8004,
	deferredOn: 8005,
	proxyOn: 4143,
	proxyOff: 4144,
	ftpOn: 21,
	ftpOnData: 5000,
	ftpBothOn: 2121,
	ftpBothDataOn: 5001,
	ftpActiveOn: 2122,
	ftpActiveOff: 2123,
	sshOn: 22,
	sshInetdOn: 2222,
} as const;
const transparent = [
	...Object.entries(port)
		.filter(([name]) => name.endsWith('On'))
		.map(([, value]) => value),
];
/** Clients reach the ports of the proxies through these. */
const redirected = { on: 443, off: 444 } as const;
/**
 * Clients reach the FTP servers for active mode through these, with an option that contains the
 * loopback address of the server.
 */
const forgedTo = { on: 3122, off: 3123, both: 3124 } as const;
const forgedOption = { profile: `hex:${toaOption('toa4', '127.0.0.1')}` } as const;

const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
let lab: Lab;
let daemon: Daemon;
let clients: LabClient;

beforeAll(async () => {
	lab = await Lab.open();
	const route = (backendPort: number, profile: 'nat64' | 'toa4' | 'none') => ({
		listenPort: backendPort,
		backendPort,
		profile,
	});
	await lab.gateway([
		route(port.realipBalancerOn, 'nat64'),
		route(port.realipClientOn, 'nat64'),
		route(port.realipOff, 'nat64'),
		route(redirected.on, 'nat64'),
		route(redirected.off, 'nat64'),
		route(port.ftpOn, 'toa4'),
		route(port.ftpOnData, 'none'),
		route(port.ftpBothOn, 'toa4'),
		route(port.ftpBothDataOn, 'toa4'),
		route(port.ftpActiveOn, 'toa4'),
		route(port.ftpActiveOff, 'toa4'),
		{ listenPort: forgedTo.on, backendPort: port.ftpActiveOn, ...forgedOption },
		{ listenPort: forgedTo.off, backendPort: port.ftpActiveOff, ...forgedOption },
		{ listenPort: forgedTo.both, backendPort: port.ftpBothOn, ...forgedOption },
		route(port.sshOn, 'nat64'),
		route(port.sshInetdOn, 'nat64'),
	]);
	clients = await lab.client();
	daemon = await Daemon.start({
		config: [
			`listeners: {ports: [${Object.values(port).join(', ')}]}`,
			`transparent: {enabled: on, ports: [${transparent.join(', ')}]}`,
			`trust: [${network.pool}, ${wireNetwork.hosts4}]`,
		].join('\n'),
	});
});
afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
	rmSync(directory, { recursive: true });
});

/** Resolves with the first matching line of a process's standard error, or of a file that grows. */
async function line(of: readonly string[] | (() => string), matches: RegExp): Promise<string> {
	for (;;) {
		const lines = typeof of === 'function' ? of().split('\n') : of;
		const found = lines.find((each) => matches.test(each));
		if (found !== undefined) return found;
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
}

function stderrOf(child: ChildProcess): string[] {
	const lines: string[] = [];
	if (child.stderr) createInterface({ input: child.stderr }).on('line', (text) => lines.push(text));
	return lines;
}

const balancer = /^198\.51\.100\./;

describe.skipIf(findProgram('nginx') === undefined)('nginx', () => {
	const log = join(directory, 'access.log');
	const read = () => (existsSync(log) ? readFileSync(log, 'utf8') : '');

	beforeAll(async () => {
		const conf = join(directory, 'nginx.conf');
		const server = (listen: string, more = '') =>
			`server { listen [::]:${listen} ipv6only=off; ${more} location / { return 200; } }`;
		const realip = (from: string) => `set_real_ip_from ${from}; real_ip_header X-Forwarded-For;`;
		writeFileSync(
			conf,
			`daemon off; user root root; pid ${directory}/nginx.pid; error_log stderr; events {}
			http {
				${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${directory}/${name};`).join('\n')}
				log_format seen "$server_port $remote_addr"; access_log ${log} seen;
				${server(String(port.realipBalancerOn), realip(`::ffff:${network.pool.replace('/24', '/120')}`))}
				${server(String(port.realipClientOn), realip('2001:db8:c::/64'))}
				${server(String(port.realipOff), realip(network.pool))}
				${server(String(port.acceptedOn))}
				${server(`${port.deferredOn} deferred`)}
			}`,
		);
		const child = lab.spawn('server', 'nginx', ['-p', directory, '-c', conf, '-e', 'stderr'], { stdio: 'pipe' });
		stderrOf(child);
		const pid = join(directory, 'nginx.pid');
		while (!existsSync(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
	});

	async function logged(to: number): Promise<string> {
		const [made] = await clients.run({
			from: client,
			to: nat64Server,
			port: to,
			text: `GET / HTTP/1.0\r\nX-Forwarded-For: ${forwarded}\r\n\r\n`,
		});
		expect(made?.error).toBeUndefined();
		const found = await line(read, new RegExp(`^${to} `));
		return found.split(' ')[1] ?? '';
	}

	it('realip: the trusted balancer is not the peer any more, and its header is ignored', async () => {
		expect(await logged(port.realipOff)).toBe(forwarded);
		expect(await logged(port.realipBalancerOn)).toBe(client);
	});

	it('realip: the proxies in front of the balancer must be trusted', async () => {
		expect(await logged(port.realipClientOn)).toBe(forwarded);
	});

	it('an option on the first data: accept() returns the balancer, and with `deferred` the client', async () => {
		const wire = await Wire.open(lab);
		const request = { options: toaOption('toa4', '192.0.2.42') };
		const early = await wire.connection({ to: port.acceptedOn }).open();
		for (;;) {
			const { connections } = await daemon.json<{ connections: { accepted_at: string | null }[] }>(
				`/v1/connections?peer=${early.peer}`,
			);
			if (connections[0]?.accepted_at) break;
		}
		early.data('GET / HTTP/1.0\r\n\r\n', request);
		expect(await line(read, new RegExp(`^${port.acceptedOn} `))).toMatch(/ ::ffff:198\.18\.0\.1$/);
		const deferred = await wire.connection({ to: port.deferredOn }).open();
		deferred.data('GET / HTTP/1.0\r\n\r\n', request);
		expect(await line(read, new RegExp(`^${port.deferredOn} `))).toMatch(/ ::ffff:192\.0\.2\.42$/);
		early.reset();
		deferred.reset();
	});
});

describe('a proxy behind a REDIRECT rule', () => {
	let unavailable: string | undefined;
	beforeAll(async () => {
		const rules = [
			'table ip redirected {',
			'chain incoming { type nat hook prerouting priority -100;',
			`tcp dport ${redirected.on} redirect to :${port.proxyOn}`,
			`tcp dport ${redirected.off} redirect to :${port.proxyOff}`,
			'}',
			'}',
		].join('\n');
		const file = join(directory, 'rules.nft');
		writeFileSync(file, rules);
		if (findProgram('nft') === undefined) {
			unavailable = 'nft is not installed';
			return;
		}
		const nft = lab.spawn('server', 'nft', ['-f', file], { stdio: 'pipe' });
		const errors = stderrOf(nft);
		const [code] = await once(nft, 'close');
		if (code === 0) return;
		expect(errors.join('\n')).toMatch(/Operation not supported|No such file or directory|Protocol not supported/);
		unavailable = `this kernel has no nat rules: ${errors[0]}`;
	});

	const destinations = async (local: number, dialled: number): Promise<{ byPeer: string; byLocal: string }> => {
		const child = lab.spawn('server', compile('original_destination'), [String(local)], { stdio: 'pipe' });
		return new Promise((resolve, reject) => {
			untilReady(child, 'proxy', isReadyLine, (value) => resolve(value as { byPeer: string; byLocal: string }))
				.then(() => clients.run({ from: client, to: nat64Server, port: dialled, text: 'x' }))
				.catch(reject);
		});
	};

	it('gets no destination if it asks by the family of its peer', async ({ skip }) => {
		skip(unavailable !== undefined, unavailable);
		const dialled = `${network.server} ${redirected.on}`;
		expect(await destinations(port.proxyOn, redirected.on)).toEqual({
			byPeer: expect.stringMatching(/^errno \d+$/),
			byLocal: dialled,
		});
	});

	it('gets the destination if its port is not transparent', async ({ skip }) => {
		skip(unavailable !== undefined, unavailable);
		const dialled = `${network.server} ${redirected.off}`;
		expect(await destinations(port.proxyOff, redirected.off)).toEqual({ byPeer: dialled, byLocal: dialled });
	});
});

describe.skipIf(findProgram('vsftpd') === undefined || findProgram('python3') === undefined)('vsftpd', () => {
	/** 203.0.113.8 in its last four bytes, which toa4 sends. */
	const ftpClient = '2001:db8:c::cb00:7108';
	/** The port of a service on the server's loopback interface, which no client can reach. */
	const inner = 8099;

	function start(control: number, data: number, more: Readonly<Record<string, string>> = {}): void {
		const root = join(directory, `ftp-${control}`);
		mkdirSync(join(root, 'pub'), { recursive: true });
		writeFileSync(join(root, 'pub/file'), 'hello\n');
		spawnSync('chmod', ['-R', 'a+rX,a-w', root, directory]);
		const conf = join(directory, `vsftpd-${control}.conf`);
		const settings = {
			listen: 'YES',
			listen_port: control,
			background: 'NO',
			anonymous_enable: 'YES',
			local_enable: 'NO',
			no_anon_password: 'YES',
			ftp_username: 'daemon',
			anon_root: root,
			secure_chroot_dir: join(root, 'pub'),
			nopriv_user: 'nobody',
			seccomp_sandbox: 'NO',
			isolate: 'NO',
			isolate_network: 'NO',
			pasv_min_port: data,
			pasv_max_port: data,
			...more,
		};
		writeFileSync(
			conf,
			Object.entries(settings)
				.map(([key, value]) => `${key}=${value}\n`)
				.join(''),
		);
		lab.spawn('server', 'vsftpd', [conf]);
	}

	/**
	 * Fetches a file. Resolves with the last reply. `active` is the address to which the client
	 * asks the server to send the file.
	 */
	async function fetched(control: number, active?: readonly [address: string, port: number]): Promise<string> {
		for (;;) {
			const file = [ftpClient, 'pub/file', ...(active ?? []).map(String)];
			const child = lab.spawn(
				'client',
				'python3',
				[join(apps, 'ftp_client.py'), nat64Server, String(control), ...file],
				{
					stdio: 'pipe',
				},
			);
			let output = '';
			child.stdout?.on('data', (part: Buffer) => {
				output += part.toString();
			});
			stderrOf(child);
			const [code] = await once(child, 'close');
			// the server might not be listening yet
			if (code === 0) return output.trim();
		}
	}

	beforeAll(() => {
		start(port.ftpOn, port.ftpOnData);
		start(port.ftpBothOn, port.ftpBothDataOn, { port_enable: 'NO' });
		start(port.ftpActiveOn, 5002);
		start(port.ftpActiveOff, 5003);
	});

	it('compares the peers of both connections: if only the control connection is transparent, passive mode fails with 425', async () => {
		expect(await fetched(port.ftpOn)).toMatch(/^425 Security: Bad IP connecting/);
	});

	it('works if the passive ports are transparent, too, and their connections have the option', async () => {
		expect(await fetched(port.ftpBothOn)).toMatch(/^226 /);
	});

	it('in active mode accepts only the address of the peer: the client with transparent, the balancer without', async () => {
		const own = ['203.0.113.8', 40_000] as const;
		const other = ['203.0.113.9', 40_000] as const;
		// 425: the server connected to the client, to which the balancer does not forward
		expect(await fetched(port.ftpActiveOn, own)).toMatch(/^425 /);
		expect(await fetched(port.ftpActiveOn, other)).toBe('500 Illegal PORT command.');
		expect(await fetched(port.ftpActiveOff, own)).toBe('500 Illegal PORT command.');
	});

	it('sends a file to the address in a forged option, even to the loopback of the server: a bounce, only with transparent', async () => {
		const code = `import socket; s = socket.create_server(("127.0.0.1", ${inner})); print('{"ready":true}', flush=True); print(s.accept()[0].makefile().read(), file=__import__("sys").stderr, flush=True)`;
		const service = lab.spawn('server', 'python3', ['-c', code], { stdio: 'pipe' });
		const received = stderrOf(service);
		await untilReady(service, 'service', isReadyLine);
		expect(await fetched(forgedTo.off, ['127.0.0.1', inner])).toBe('500 Illegal PORT command.');
		expect(await fetched(forgedTo.both, ['127.0.0.1', inner])).toBe('550 Permission denied.');
		expect(received).toEqual([]);
		expect(await fetched(forgedTo.on, ['127.0.0.1', inner])).toMatch(/^226 /);
		expect(await line(received, /./)).toBe('hello');
	});
});

describe.skipIf(findProgram('sshd') === undefined || findProgram('python3') === undefined)('sshd', () => {
	/**
	 * sshd requires a user of its own, and a directory below /run: a mount namespace provides both.
	 */
	const prepared = (command: string) => [
		'--mount',
		'sh',
		'-ec',
		`{ cat /etc/passwd; grep -q ^sshd: /etc/passwd || echo sshd:x:65534:65534::/run/sshd:/bin/false; } > ${directory}/passwd
		mount --bind ${directory}/passwd /etc/passwd; mount -t tmpfs none /run; mkdir -m 755 /run/sshd; exec ${command}`,
	];
	const conf = join(directory, 'sshd.conf');
	const sshd = () => findProgram('sshd') ?? '';

	beforeAll(() => {
		const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
		const key = join(directory, 'host_key');
		writeFileSync(key, privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
		writeFileSync(conf, `Port ${port.sshOn}\nHostKey ${key}\nPidFile none\nUsePAM no\nLogLevel VERBOSE\n`);
	});

	const connect = (to: number) => clients.run({ from: client, to: nat64Server, port: to, text: 'no ssh\r\n' });

	it('opens its IPv6 socket only for IPv6: the balancer connects to the IPv4 socket, and IPv6 clients appear as the balancer', async () => {
		const child = lab.spawn('server', 'unshare', prepared(`${sshd()} -D -e -f ${conf}`), { stdio: 'pipe' });
		const lines = stderrOf(child);
		await line(lines, /^Server listening on 0\.0\.0\.0 /);
		await connect(port.sshOn);
		const [, address = ''] = /^Connection from (\S+) port/.exec(await line(lines, /^Connection from /)) ?? [];
		expect(address).toMatch(balancer);
		const listener = `${network.server}:${port.sshOn}`;
		await daemon.until(
			(samples) => total(samples, 'toascope_connections_hidden_by_family_total', { listener }) === 1n || undefined,
		);
	});

	it('names the client if it is started for each connection of a dual-stack socket', async () => {
		const args = prepared(`python3 ${join(apps, 'inetd.py')} ${port.sshInetdOn} ${sshd()} -i -e -f ${conf}`);
		const child = lab.spawn('server', 'unshare', args, { stdio: 'pipe' });
		const lines = stderrOf(child);
		await untilReady(child, 'inetd', isReadyLine);
		await connect(port.sshInetdOn);
		expect(await line(lines, /^Connection from /)).toContain(`Connection from ${client} port `);
	});
});
