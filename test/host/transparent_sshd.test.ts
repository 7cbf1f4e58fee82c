// SPDX-License-Identifier: Apache-2.0
/** What `transparent` changes for sshd: these tests prove what docs/transparent.md says. */
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nat64Server, network } from '../../daemon/lab/lab.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import { findProgram } from '../kit/applications/application.ts';
import { lineOf, routeTo, stderrOf, TransparentStage } from '../kit/applications/transparent_stage.ts';
import { total } from '../kit/telemetry/metrics.ts';

const client = '2001:db8:c::7107';
const balancer = /^198\.51\.100\./;
const apps = join(import.meta.dirname, '../kit/apps');
/**
 * sshd with sockets of its own, and sshd that is started for each connection of a dual-stack
 * socket.
 */
const port = { server: 22, inetd: 2222 } as const;

describe.skipIf(findProgram('sshd') === undefined || findProgram('python3') === undefined)('sshd', () => {
	let stage: TransparentStage;
	beforeAll(async () => {
		stage = await TransparentStage.open({
			transparent: [port.server, port.inetd],
			routes: [routeTo(port.server, 'nat64'), routeTo(port.inetd, 'nat64')],
		});
		const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
		const key = join(stage.directory, 'host_key');
		writeFileSync(key, privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
		writeFileSync(conf(), `Port ${port.server}\nHostKey ${key}\nPidFile none\nUsePAM no\nLogLevel VERBOSE\n`);
	});
	afterAll(() => stage?.[Symbol.asyncDispose]());

	/**
	 * sshd requires a user of its own, and a directory below /run: a mount namespace provides both.
	 */
	const prepared = (command: string) => [
		'--mount',
		'sh',
		'-ec',
		`{ cat /etc/passwd; grep -q ^sshd: /etc/passwd || echo sshd:x:65534:65534::/run/sshd:/bin/false; } > ${stage.directory}/passwd
		mount --bind ${stage.directory}/passwd /etc/passwd; mount -t tmpfs none /run; mkdir -m 755 /run/sshd; exec ${command}`,
	];
	const conf = () => join(stage.directory, 'sshd.conf');
	const sshd = () => findProgram('sshd') ?? '';

	const connect = (to: number) => stage.clients.run({ from: client, to: nat64Server, port: to, text: 'no ssh\r\n' });

	it('opens its IPv6 socket only for IPv6: the balancer connects to the IPv4 socket, and IPv6 clients appear as the balancer', async () => {
		const child = stage.lab.spawn('server', 'unshare', prepared(`${sshd()} -D -e -f ${conf()}`), { stdio: 'pipe' });
		const lines = stderrOf(child);
		await lineOf(lines, /^Server listening on 0\.0\.0\.0 /);
		await connect(port.server);
		const [, address = ''] = /^Connection from (\S+) port/.exec(await lineOf(lines, /^Connection from /)) ?? [];
		expect(address).toMatch(balancer);
		const listener = `${network.server}:${port.server}`;
		await stage.daemon.until(
			(samples) => total(samples, 'toascope_connections_hidden_by_family_total', { listener }) === 1n || undefined,
		);
	});

	it('names the client if it is started for each connection of a dual-stack socket', async () => {
		const args = prepared(`python3 ${join(apps, 'inetd.py')} ${port.inetd} ${sshd()} -i -e -f ${conf()}`);
		const child = stage.lab.spawn('server', 'unshare', args, { stdio: 'pipe' });
		const lines = stderrOf(child);
		await untilReady(child, 'inetd', isReadyLine);
		await connect(port.inetd);
		expect(await lineOf(lines, /^Connection from /)).toContain(`Connection from ${client} port `);
	});
});
