// SPDX-License-Identifier: Apache-2.0
/**
 * The option vectors as real segments: each list is on the ACK that ends a handshake, over IPv4 and
 * IPv6, and is compared with what the daemon reports about that connection; the sums are compared
 * at the end. Lists that do not fill whole 32-bit words have NOPs in front (padOptions()).
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatProfile } from '../../daemon/config/profiles.ts';
import { lookUp } from '../kit/daemon/lookup.ts';
import { readVectors, type Vector } from '../kit/model/vectors.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

const kinds = [
	{ name: 'IPv4 to an AF_INET listener', to: 'plain', family: 4 },
	{ name: 'IPv4 to a dual-stack listener', to: 'dual', family: 4 },
	{ name: 'IPv6 to a dual-stack listener', to: 'dual', family: 6 },
] as const;

/** The verdict `one` of the parser is `toa` if the peer is trusted. */
const verdictOf = ({ expect: { verdict } }: Vector) => (verdict === 'one' ? 'toa' : verdict);

const byProfiles = Map.groupBy(readVectors(), ({ profiles }) => JSON.stringify(profiles.map(formatProfile)));

let stage: WireStage<'plain' | 'dual'>;

beforeAll(async () => {
	stage = await WireStage.open({ plain: ['4'], dual: ['dual'] }, { config: ['profiles: [nat64]'] });
});

afterAll(() => stage?.[Symbol.asyncDispose]());

describe.each([...byProfiles])('profiles %s', (profiles, vectors) => {
	beforeAll(async () => {
		const { configFile } = stage.daemon;
		const config = readFileSync(configFile, 'utf8').replace(/^profiles:.*$/m, `profiles: ${profiles}`);
		expect((await stage.daemon.reload(config)).msg).toBe('configuration reloaded');
	});

	describe.each(kinds)('$name', ({ to, family }) => {
		it.each(vectors)('$name', async (vector) => {
			const connection = await stage.connection(to, { family }).open(vector.options);
			connection.reset();
			await stage.wire.handled();
			if ((await lookUp(stage.daemon, connection.peer)).length === 0) {
				// the kernel parses the list itself before any program does:
				// tcp_parse_auth_options()
				expect(verdictOf(vector), 'the kernel drops only malformed lists').toBe('malformed');
				return;
			}
			const { profile = null, address, port } = vector.expect;
			expect(await stage.reported(connection)).toEqual({
				verdict: verdictOf(vector),
				profile,
				segment: profile === null ? null : 'ack',
				client: profile === null ? null : { address, port: port === 0 ? null : port },
			});
		});
	});
});

// the own profiles of several configurations have the same id, so options_total cannot distinguish
// them
it('each connection is counted once', () => stage.expectVerdictsCounted());
