// SPDX-License-Identifier: Apache-2.0
/**
 * What `transparent` changes for a proxy behind a REDIRECT rule, and how to fix it: these tests
 * prove what docs/transparent.md says.
 */
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { nat64Server, network } from '../../daemon/lab/lab.ts';
import { isReadyLine, untilReady } from '../../daemon/lab/process.ts';
import { findProgram } from '../kit/applications/application.ts';
import { routeTo, stderrOf, TransparentStage } from '../kit/applications/transparent_stage.ts';
import { compile } from '../kit/kernel/c_program.ts';

const client = '2001:db8:c::7107';
/** The ports of the proxies, with `transparent` and without. */
const port = { proxyOn: 4143, proxyOff: 4144 } as const;
/** Clients reach the ports of the proxies through these. */
const redirected = { on: 443, off: 444 } as const;

describe('a proxy behind a REDIRECT rule', () => {
	let stage: TransparentStage;
	let unavailable: string | undefined;
	beforeAll(async () => {
		stage = await TransparentStage.open({
			transparent: [port.proxyOn],
			others: [port.proxyOff],
			routes: [routeTo(redirected.on, 'nat64'), routeTo(redirected.off, 'nat64')],
		});
		const rules = [
			'table ip redirected {',
			'chain incoming { type nat hook prerouting priority -100;',
			`tcp dport ${redirected.on} redirect to :${port.proxyOn}`,
			`tcp dport ${redirected.off} redirect to :${port.proxyOff}`,
			'}',
			'}',
		].join('\n');
		const file = join(stage.directory, 'rules.nft');
		writeFileSync(file, rules);
		if (findProgram('nft') === undefined) {
			unavailable = 'nft is not installed';
			return;
		}
		const nft = stage.lab.spawn('server', 'nft', ['-f', file], { stdio: 'pipe' });
		const errors = stderrOf(nft);
		const [code] = await once(nft, 'close');
		if (code === 0) return;
		expect(errors.join('\n')).toMatch(/Operation not supported|No such file or directory|Protocol not supported/);
		unavailable = `this kernel has no nat rules: ${errors[0]}`;
	});
	afterAll(() => stage?.[Symbol.asyncDispose]());

	const destinations = async (local: number, dialled: number): Promise<{ byPeer: string; byLocal: string }> => {
		const child = stage.lab.spawn('server', compile('original_destination'), [String(local)], { stdio: 'pipe' });
		return new Promise((resolve, reject) => {
			untilReady(child, 'proxy', isReadyLine, (value) => resolve(value as { byPeer: string; byLocal: string }))
				.then(() => stage.clients.run({ from: client, to: nat64Server, port: dialled, text: 'x' }))
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
