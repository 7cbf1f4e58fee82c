// SPDX-License-Identifier: Apache-2.0
/** A caller of the HTTP servers is identified as a user of this host, or by its address. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { callerOf } from '../../../daemon/host/caller.ts';

const self = `uid ${process.getuid?.()}`;

async function nameOf(listen: object): Promise<string> {
	const server = createServer().listen(listen);
	await once(server, 'listening');
	const accepted = once(server, 'connection');
	const address = server.address();
	const client = connect(
		typeof address === 'string' ? { path: address } : { host: '127.0.0.1', ...listen, port: address?.port ?? 0 },
	);
	const [theirs] = (await accepted) as [Socket];
	const name = callerOf(theirs);
	client.destroy();
	theirs.destroy();
	server.close();
	return name;
}

it('on this host: its user', async () => {
	expect(await nameOf({ host: '127.0.0.1', port: 0 })).toBe(self);
	const folder = mkdtempSync(join(tmpdir(), 'toascope-'));
	expect(await nameOf({ path: join(folder, 'socket') })).toBe(self);
	rmSync(folder, { recursive: true });
});

it.each([
	['192.0.2.7', '192.0.2.7'],
	['::ffff:192.0.2.7', '192.0.2.7'],
	['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
	['fe80::1%eth0', 'fe80::/64'],
	[undefined, 'unknown'],
])('elsewhere: the address or network of %s', (remoteAddress, name) => {
	expect(callerOf({ remoteAddress } as Socket)).toBe(name);
});
