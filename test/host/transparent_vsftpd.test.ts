// SPDX-License-Identifier: Apache-2.0
/**
 * What `transparent` changes for vsftpd, and how to fix it: these tests prove what
 * docs/transparent.md says.
 */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nat64Server } from '../../daemon/lab/lab.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import { findProgram } from '../kit/applications/application.ts';
import { lineOf, routeTo, stderrOf, TransparentStage } from '../kit/applications/transparent_stage.ts';
import { toaOption } from '../kit/wire/toa_option.ts';

const apps = join(import.meta.dirname, '../kit/apps');

/**
 * Control ports of four servers: with `transparent` only there, also on the passive port, and for
 * active mode with and without. `data` and `bothData` are passive ports of the first two.
 */
const port = { control: 21, data: 5000, both: 2121, bothData: 5001, activeOn: 2122, activeOff: 2123 } as const;
/**
 * Clients reach the FTP servers for active mode through these, with an option that contains the
 * loopback address of the server.
 */
const forgedTo = { on: 3122, off: 3123, both: 3124 } as const;
const forgedOption = { profile: `hex:${toaOption('toa4', '127.0.0.1')}` } as const;

describe.skipIf(findProgram('vsftpd') === undefined || findProgram('python3') === undefined)('vsftpd', () => {
	let stage: TransparentStage;
	beforeAll(async () => {
		stage = await TransparentStage.open({
			transparent: [port.control, port.both, port.bothData, port.activeOn],
			others: [port.data, port.activeOff],
			routes: [
				routeTo(port.control, 'toa4'),
				routeTo(port.data, 'none'),
				routeTo(port.both, 'toa4'),
				routeTo(port.bothData, 'toa4'),
				routeTo(port.activeOn, 'toa4'),
				routeTo(port.activeOff, 'toa4'),
				{ listenPort: forgedTo.on, backendPort: port.activeOn, ...forgedOption },
				{ listenPort: forgedTo.off, backendPort: port.activeOff, ...forgedOption },
				{ listenPort: forgedTo.both, backendPort: port.both, ...forgedOption },
			],
		});
		start(port.control, port.data);
		start(port.both, port.bothData, { port_enable: 'NO' });
		start(port.activeOn, 5002);
		start(port.activeOff, 5003);
	});
	afterAll(() => stage?.[Symbol.asyncDispose]());

	/** 203.0.113.8 in its last four bytes, which toa4 sends. */
	const ftpClient = '2001:db8:c::cb00:7108';
	/** The port of a service on the server's loopback interface, which no client can reach. */
	const inner = 8099;

	function start(control: number, data: number, more: Readonly<Record<string, string>> = {}): void {
		const root = join(stage.directory, `ftp-${control}`);
		mkdirSync(join(root, 'pub'), { recursive: true });
		writeFileSync(join(root, 'pub/file'), 'hello\n');
		spawnSync('chmod', ['-R', 'a+rX,a-w', root, stage.directory]);
		const conf = join(stage.directory, `vsftpd-${control}.conf`);
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
		stage.lab.spawn('server', 'vsftpd', [conf]);
	}

	/**
	 * Fetches a file. Resolves with the last reply. `active` is the address to which the client
	 * asks the server to send the file.
	 */
	async function fetched(control: number, active?: readonly [address: string, port: number]): Promise<string> {
		for (;;) {
			const file = [ftpClient, 'pub/file', ...(active ?? []).map(String)];
			const child = stage.lab.spawn(
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

	it('compares the peers of both connections: if only the control connection is transparent, passive mode fails with 425', async () => {
		expect(await fetched(port.control)).toMatch(/^425 Security: Bad IP connecting/);
	});

	it('works if the passive ports are transparent, too, and their connections have the option', async () => {
		expect(await fetched(port.both)).toMatch(/^226 /);
	});

	it('in active mode accepts only the address of the peer: the client with transparent, the balancer without', async () => {
		const own = ['203.0.113.8', 40_000] as const;
		const other = ['203.0.113.9', 40_000] as const;
		// 425: the server connected to the client, to which the balancer does not forward
		expect(await fetched(port.activeOn, own)).toMatch(/^425 /);
		expect(await fetched(port.activeOn, other)).toBe('500 Illegal PORT command.');
		expect(await fetched(port.activeOff, own)).toBe('500 Illegal PORT command.');
	});

	it('sends a file to the address in a forged option, even to the loopback of the server: a bounce, only with transparent', async () => {
		const code = `import socket; s = socket.create_server(("127.0.0.1", ${inner})); print('{"ready":true}', flush=True); print(s.accept()[0].makefile().read(), file=__import__("sys").stderr, flush=True)`;
		const service = stage.lab.spawn('server', 'python3', ['-c', code], { stdio: 'pipe' });
		const received = stderrOf(service);
		await untilReady(service, 'service', isReadyLine);
		expect(await fetched(forgedTo.off, ['127.0.0.1', inner])).toBe('500 Illegal PORT command.');
		expect(await fetched(forgedTo.both, ['127.0.0.1', inner])).toBe('550 Permission denied.');
		expect(received).toEqual([]);
		expect(await fetched(forgedTo.on, ['127.0.0.1', inner])).toMatch(/^226 /);
		expect(await lineOf(received, /./)).toBe('hello');
	});
});
