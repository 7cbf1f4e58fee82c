// SPDX-License-Identifier: Apache-2.0
/**
 * 100,000 random option lists as segments to the kernel, each on the ACK of a connection of its own: the running daemon says of
 * each what the parser's C build says, and every one of them is counted.
 */
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { builtInProfiles } from '../../daemon/config/built_in_profiles.ts';
import { formatProfile, type Profile } from '../../daemon/config/profiles.ts';
import type { ConnectionJson } from '../../daemon/http/json.ts';
import { settled } from '../fixtures/accounts.ts';
import { lookUpAll } from '../fixtures/lookup.ts';
import { total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import type { Expected } from '../fixtures/vectors.ts';
import { wireNetwork } from '../fixtures/wire.ts';
import type { WireConnection } from '../fixtures/wire_connection.ts';
import { WireStage } from '../fixtures/wire_stage.ts';
import { compileFuzzer, generateLists, readLists } from '../fuzz/programs.ts';

const count = 100_000;
/** Connections under way at a time: fewer than wait for an accept at most. */
const atOnce = 1000;

const profiles: readonly Profile[] = [
	// no lists are made for those of virtual servers
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

/** What kernels have throw away before anybody sees it: malformed lists, and signatures (RFC 2385, RFC 5925) without a key. */
function mayBeThrownAway(options: string, { verdict }: Expected): boolean {
	if (verdict === 'malformed') return true;
	const bytes = Buffer.from(options, 'hex');
	for (let at = 0; at < bytes.length && bytes[at] !== 0; at += bytes[at] === 1 ? 1 : (bytes[at + 1] ?? bytes.length)) {
		if (bytes[at] === 19 || bytes[at] === 29) return true;
	}
	return false;
}

/** In the words of the other side. */
function asExpected({ verdict, profile, client }: ConnectionJson): Expected {
	const word = verdict === 'toa' ? 'one' : verdict;
	if (profile === null || client === null) return { verdict: word as Expected['verdict'] };
	const { address, port } = client;
	return {
		verdict: word as Expected['verdict'],
		profile,
		family: address.includes(':') ? 6 : 4,
		address,
		port: port ?? 0,
	};
}

it(`${count} lists`, { timeout: patient(300_000) }, async () => {
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

	/** Resolves when the server has accepted all that came before. */
	const accepted = async () => {
		const last = await stage.connection('server').open();
		last.fin();
		last.took(await last.finished());
		last.acknowledge();
	};
	const send = async (options: string): Promise<WireConnection> => {
		const connection = await stage.connection('server').open(options);
		connection.reset();
		stage.wire.forget(connection);
		return connection;
	};

	let thrownAway = 0;
	for (let at = 0; at < count; at += atOnce) {
		const connections = await Promise.all(lists.slice(at, at + atOnce).map(send));
		await accepted();
		const found = await lookUpAll(
			stage.daemon,
			connections.map(({ peer }) => peer),
		);
		for (const [index, [connection]] of found.entries()) {
			const options = lists[at + index] ?? '';
			const reading = expected[at + index];
			if (reading === undefined) throw new Error('a list that was not read');
			const what = `seed ${seed}, list ${options}`;
			if (connection === undefined) {
				expect(mayBeThrownAway(options, reading.parser), `${what} is not there`).toBe(true);
				thrownAway++;
				continue;
			}
			expect(connection.state, what).toBe('closed');
			expect(asExpected(connection), what).toEqual(reading.parser);
		}
	}

	const listener = `${wireNetwork.server4}:${stage.listeners.server.port}`;
	// those of accepted() as well
	const opened = count - thrownAway + count / atOnce;
	const samples = await settled(stage.daemon, listener, opened);
	expect(total(samples, 'toascope_handshakes_total', { listener })).toBe(BigInt(opened));
	expect(total(samples, 'toascope_connections_opened_total', { listener })).toBe(BigInt(opened));
	expect(thrownAway).toBeLessThan(count / 4);
});
