// SPDX-License-Identifier: Apache-2.0
/**
 * Sends 100,000 random option lists to the kernel, each on the ACK of its own connection: the
 * running daemon reports for each what the C build of the parser reports, and all of them are
 * counted.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import type { ConnectionJson } from '../../daemon/api/connection.ts';
import { builtInProfiles } from '../../daemon/config/built_in_profiles.gen.ts';
import type { Profile } from '../../daemon/config/profile.ts';
import { formatProfile } from '../../daemon/config/profiles.ts';
import { compileFuzzer, generateLists, readLists } from '../fuzz/programs.ts';
import { metricsAtRest } from '../kit/daemon/expected_traffic.ts';
import { lookUpAll } from '../kit/daemon/lookup.ts';
import type { Expected } from '../kit/model/vectors.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { wireNetwork } from '../kit/wire/wire.ts';
import type { WireConnection } from '../kit/wire/wire_connection.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

const count = 100_000;
/** Connections in progress at a time: fewer than can wait for an accept. */
const atOnce = 1000;

const profiles: readonly Profile[] = [
	// no lists are generated for the profiles of virtual servers
	...builtInProfiles.filter(({ vipAt }) => vipAt === undefined),
	{
		id: 8,
		name: 'own',
		kind: 77,
		length: 12,
		family: 4,
		portAt: 10,
		addressAt: 3,
		onSyn: false,
		version: undefined,
		priority: 0,
		pick: undefined,
		vipAt: undefined,
		vportAt: undefined,
		vniAt: undefined,
		vniForm: 'be24',
		uses: ['sockopt', 'transparent'],
	},
];

/**
 * Whether a kernel can drop the segment before any program sees it: malformed lists, and signatures
 * (RFC 2385, RFC 5925) without a key.
 */
function kernelCanDrop(options: string, { verdict }: Expected): boolean {
	if (verdict === 'malformed') return true;
	const bytes = Buffer.from(options, 'hex');
	for (let at = 0; at < bytes.length && bytes[at] !== 0; at += bytes[at] === 1 ? 1 : (bytes[at + 1] ?? bytes.length)) {
		if (bytes[at] === 19 || bytes[at] === 29) return true;
	}
	return false;
}

/** Converts to the form of the parser. */
function asExpected({ verdict, profile, client }: ConnectionJson): Expected {
	const parserVerdict = verdict === 'toa' ? 'one' : verdict;
	if (profile === null || client === null) return { verdict: parserVerdict as Expected['verdict'] };
	const { address, port } = client;
	return {
		verdict: parserVerdict as Expected['verdict'],
		profile,
		family: address.includes(':') ? 6 : 4,
		address,
		port: port ?? 0,
	};
}

it(`${count} lists`, { timeout: scaleTimeout(300_000) }, async () => {
	const seed = Math.floor(Math.random() * 2 ** 32);
	const program = compileFuzzer('lists', join(import.meta.dirname, '../../build/test/lists'), {
		compiler: 'cc',
		sanitizers: [],
	});
	const lists = generateLists(program, profiles, seed, count);
	const expected = readLists(program, profiles, lists);
	await using stage = await WireStage.open(
		{ server: ['4'] },
		{
			config: [
				'connections: {max: 131072}',
				'clients: {capacity: 131072, per_prefix: off}',
				`profiles: ${JSON.stringify(profiles.map(formatProfile))}`,
			],
		},
	);

	/** Resolves when the server has accepted all earlier connections. */
	const accepted = async () => {
		const last = await stage.connection('server').open();
		last.fin();
		last.markReceived(await last.finished());
		last.acknowledge();
	};
	const send = async (options: string): Promise<WireConnection> => {
		const connection = await stage.connection('server').open(options);
		connection.reset();
		stage.wire.forget(connection);
		return connection;
	};

	let droppedByKernel = 0;
	for (let at = 0; at < count; at += atOnce) {
		const connections = await Promise.all(lists.slice(at, at + atOnce).map(send));
		await accepted();
		const found = await lookUpAll(
			stage.daemon,
			connections.map(({ peer }) => peer),
		);
		for (const [index, [connection]] of found.entries()) {
			const options = lists[at + index] ?? '';
			const result = expected[at + index];
			if (result === undefined) throw new Error('a list without an expected result');
			const what = `seed ${seed}, list ${options}`;
			if (connection === undefined) {
				expect(kernelCanDrop(options, result.parser), `${what} was not found`).toBe(true);
				droppedByKernel++;
				continue;
			}
			expect(connection.state, what).toBe('closed');
			expect(asExpected(connection), what).toEqual(result.parser);
		}
	}

	const listener = `${wireNetwork.server4}:${stage.listeners.server.port}`;
	// includes the connections of accepted()
	const opened = count - droppedByKernel + count / atOnce;
	const samples = await metricsAtRest(stage.daemon, listener, opened);
	expect(total(samples, 'toascope_handshakes_total', { listener })).toBe(BigInt(opened));
	expect(total(samples, 'toascope_connections_opened_total', { listener })).toBe(BigInt(opened));
	expect(droppedByKernel).toBeLessThan(count / 4);
});
