// SPDX-License-Identifier: Apache-2.0
/**
 * The option vectors as real segments: each list on the ACK that ends a handshake, over IPv4 and IPv6, and what the daemon says
 * of that very connection; then the sums. Lists that fill no whole words have NOPs in front (padOptions()).
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatProfile } from '../../daemon/config/profiles.ts';
import { lookUp } from '../fixtures/lookup.ts';
import { readVectors, type Vector } from '../fixtures/vectors.ts';
import { WireStage } from '../fixtures/wire_stage.ts';

const kinds = [
	{ name: 'IPv4 to an AF_INET listener', to: 'plain', family: 4 },
	{ name: 'IPv4 to a dual-stack listener', to: 'dual', family: 4 },
	{ name: 'IPv6 to a dual-stack listener', to: 'dual', family: 6 },
] as const;

/** What the parser calls `one` is `toa` of a sender that is believed. */
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
				// the kernel's own reading, before anybody else's: tcp_parse_auth_options()
				expect(verdictOf(vector), 'kernels throw away what is malformed, and nothing else').toBe('malformed');
				return;
			}
			const { profile = null, address, port } = vector.expect;
			expect(await stage.said(connection)).toEqual({
				verdict: verdictOf(vector),
				profile,
				segment: profile === null ? null : 'ack',
				client: profile === null ? null : { address, port: port === 0 ? null : port },
			});
		});
	});
});

// own profiles of several configurations had one id: which was meant, options_total can't tell
it('each connection is counted once', () => stage.expectVerdictsCounted());
