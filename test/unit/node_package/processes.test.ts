// SPDX-License-Identifier: Apache-2.0
/**
 * The built package on the oldest Node that it supports and on newer ones: every kind of server, in
 * worker threads and in the workers of a cluster, where no option names a client.
 */

import { once } from 'node:events';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect, it } from 'vitest';
import { connectAll, kinds, Lines, serversProgram, startHere } from '../../kit/node_package/apps.ts';
import { packageDirectory } from '../../kit/node_package/built.ts';
import { nodeVersions } from '../../kit/node_package/node_versions.ts';
import { selfSigned } from '../../kit/node_package/self_signed.ts';

const names = Object.keys(kinds) as (keyof typeof kinds)[];
const { key, cert } = selfSigned();

it.for(nodeVersions)('Node %s', async (version, { skip }) => {
	const node = await version.program();
	if (node === undefined) return skip(`Node ${version} cannot be installed`);
	const config = {
		module: pathToFileURL(join(packageDirectory, 'dist/index.js')).href,
		host: '127.0.0.1',
		ports: Object.fromEntries(names.map((name) => [name, 0])),
		key: String(key),
		cert: String(cert),
	};
	const servers = startHere(node, [serversProgram, JSON.stringify(config)]);
	try {
		const ports = await new Lines(servers).json<Record<string, number>>();
		const targets = names.map((name) => ({ kind: kinds[name], host: '127.0.0.1', port: ports[name] ?? 0, count: 2 }));
		const made = await connectAll(startHere, targets);
		expect(made.length).toBe(names.length);
		for (const reply of made.flatMap(({ replies }) => replies)) {
			expect(JSON.parse(reply.replace('hello\n', ''))).toEqual({
				client: null,
				code: expect.stringMatching(/^NO_(TOASCOPE|CLIENT)$/),
			});
		}
	} finally {
		servers.kill();
		await once(servers, 'exit');
	}
});
