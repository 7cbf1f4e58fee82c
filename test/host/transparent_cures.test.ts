// SPDX-License-Identifier: Apache-2.0
/** What `transparent` changes for real programs, and what mends it: docs/transparent.md says what these tests show. */
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
import { findProgram } from '../fixtures/applications/application.ts';
import { compile } from '../fixtures/c_program.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { total } from '../fixtures/metrics.ts';
import { toaOption } from '../fixtures/toa_option.ts';
import { Wire, wireNetwork } from '../fixtures/wire.ts';

const client = '2001:db8:c::7107';
const forwarded = '203.0.113.5';
const apps = join(import.meta.dirname, '../fixtures/apps');

/** Local ports; those with `On` are in `transparent.ports`. */
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
/** The proxies' ports are reached by these. */
const redirected = { on: 443, off: 444 } as const;
/** The FTP servers of active mode are reached by these, with an option that names the server's own loopback. */
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

/** Lines of a process's standard error, or of a file that grows; resolves with the first that matches. */
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

	it('realip: the hop that is trusted is no hop any more, and its header is left aside', async () => {
		expect(await logged(port.realipOff)).toBe(forwarded);
		expect(await logged(port.realipBalancerOn)).toBe(client);
	});

	it('realip: the proxies before the balancer are to be trusted', async () => {
		expect(await logged(port.realipClientOn)).toBe(forwarded);
	});

	it('an option on the first data: accept() gives the balancer, and with `deferred` the client', async () => {
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
	let refused: string | undefined;
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
			refused = 'no nft here';
			return;
		}
		const nft = lab.spawn('server', 'nft', ['-f', file], { stdio: 'pipe' });
		const said = stderrOf(nft);
		const [code] = await once(nft, 'close');
		if (code === 0) return;
		expect(said.join('\n')).toMatch(/Operation not supported|No such file or directory|Protocol not supported/);
		refused = `this kernel has no nat rules: ${said[0]}`;
	});

	const asked = async (local: number, dialled: number): Promise<{ byPeer: string; byLocal: string }> => {
		const child = lab.spawn('server', compile('original_destination'), [String(local)], { stdio: 'pipe' });
		return new Promise((resolve, reject) => {
			untilReady(child, 'proxy', isReadyLine, (value) => resolve(value as { byPeer: string; byLocal: string }))
				.then(() => clients.run({ from: client, to: nat64Server, port: dialled, text: 'x' }))
				.catch(reject);
		});
	};

	it('that asks for the destination by the family of its peer gets none', async ({ skip }) => {
		skip(refused !== undefined, refused);
		const dialled = `${network.server} ${redirected.on}`;
		expect(await asked(port.proxyOn, redirected.on)).toEqual({
			byPeer: expect.stringMatching(/^errno \d+$/),
			byLocal: dialled,
		});
	});

	it('gets it where its port is not transparent', async ({ skip }) => {
		skip(refused !== undefined, refused);
		const dialled = `${network.server} ${redirected.off}`;
		expect(await asked(port.proxyOff, redirected.off)).toEqual({ byPeer: dialled, byLocal: dialled });
	});
});

describe.skipIf(findProgram('vsftpd') === undefined || findProgram('python3') === undefined)('vsftpd', () => {
	/** 203.0.113.8 in its last four bytes, which toa4 carries. */
	const ftpClient = '2001:db8:c::cb00:7108';
	/** A service on the server's loopback, which no client can reach. */
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

	/** The last answer; `active`: where the server is told to send the file to. */
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
			let said = '';
			child.stdout?.on('data', (part: Buffer) => {
				said += part.toString();
			});
			stderrOf(child);
			const [code] = await once(child, 'close');
			// it may not listen yet
			if (code === 0) return said.trim();
		}
	}

	beforeAll(() => {
		start(port.ftpOn, port.ftpOnData);
		start(port.ftpBothOn, port.ftpBothDataOn, { port_enable: 'NO' });
		start(port.ftpActiveOn, 5002);
		start(port.ftpActiveOff, 5003);
	});

	it('compares the peers of both connections: with the control connection alone transparent, passive mode ends in 425', async () => {
		expect(await fetched(port.ftpOn)).toMatch(/^425 Security: Bad IP connecting/);
	});

	it('works where the passive ports are transparent as well, and their connections have the option', async () => {
		expect(await fetched(port.ftpBothOn)).toMatch(/^226 /);
	});

	it('in active mode takes the address of the peer alone: the client with transparent, the balancer without', async () => {
		const own = ['203.0.113.8', 40_000] as const;
		const other = ['203.0.113.9', 40_000] as const;
		// 425: it dialled the client, which the balancer does not forward to
		expect(await fetched(port.ftpActiveOn, own)).toMatch(/^425 /);
		expect(await fetched(port.ftpActiveOn, other)).toBe('500 Illegal PORT command.');
		expect(await fetched(port.ftpActiveOff, own)).toBe('500 Illegal PORT command.');
	});

	it('sends a file to the address of a forged option, the loopback of the server included: a bounce, with transparent alone', async () => {
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
	/** It wants a user of its own, and a directory below /run: in a mount namespace it has both. */
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

	it('opens its IPv6 socket for IPv6 alone: the balancer comes in at the IPv4 one, and IPv6 clients stay it', async () => {
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

	it('names the client when it is started for a connection of a dual-stack socket', async () => {
		const args = prepared(`python3 ${join(apps, 'inetd.py')} ${port.sshInetdOn} ${sshd()} -i -e -f ${conf}`);
		const child = lab.spawn('server', 'unshare', args, { stdio: 'pipe' });
		const lines = stderrOf(child);
		await untilReady(child, 'inetd', isReadyLine);
		await connect(port.sshInetdOn);
		expect(await line(lines, /^Connection from /)).toContain(`Connection from ${client} port `);
	});
});
