// SPDX-License-Identifier: Apache-2.0
/**
 * The option vectors as real segments: each list on the ACK that ends a handshake, over IPv4 and IPv6, and what the daemon says
 * of that very connection; then the sums. Lists that fill no whole words have NOPs in front (padOptions()).
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Lab } from '../../daemon/lab/lab.ts';
import { expectIdentity, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { Listener } from '../fixtures/listener.ts';
import { closedConnection, lookUp } from '../fixtures/lookup.ts';
import { total } from '../fixtures/metrics.ts';
import { somePorts } from '../fixtures/stage.ts';
import { Wire, wireNetwork } from '../fixtures/wire.ts';

interface Vector {
	readonly name: string;
	/** Hex. */
	readonly options: string;
	readonly expect: {
		readonly verdict: 'none' | 'malformed' | 'one' | 'conflict';
		readonly profile?: string;
		readonly address?: string;
		readonly port?: number;
	};
}

const vectors = JSON.parse(
	readFileSync(new URL('../vectors/options.json', import.meta.url), 'utf8'),
) as readonly Vector[];

/** What the parser calls `one` is a believed sender's `toa`. */
const verdictOf = ({ expect: { verdict } }: Vector) => (verdict === 'one' ? 'toa' : verdict);

const port = somePorts(2);
const kinds = [
	{ name: 'IPv4 to an AF_INET listener', listener: '4', family: 4, to: port },
	{ name: 'IPv4 to a dual-stack listener', listener: 'dual', family: 4, to: port + 1 },
	{ name: 'IPv6 to a dual-stack listener', listener: 'dual', family: 6, to: port + 1 },
] as const;

let lab: Lab;
let wire: Wire;
let daemon: Daemon;

beforeAll(async () => {
	lab = await Lab.open();
	[wire, daemon] = await Promise.all([
		Wire.open(lab),
		Daemon.start({
			config: [
				`listeners: {ports: [${port}-${port + 1}]}`,
				`trust: [${wireNetwork.hosts4}, "${wireNetwork.hosts6}"]`,
				'profiles: [nat64, toa6, toa4]',
			].join('\n'),
		}),
		Listener.start(lab, '4', port),
		Listener.start(lab, 'dual', port + 1),
	]);
});

afterAll(async () => {
	await daemon?.stop();
	await lab?.close();
});

describe.each(kinds)('$name', ({ family, to }) => {
	const seen: Vector[] = [];

	it.each(vectors)('$name', async (vector) => {
		const connection = await wire.connection({ to, family }).open(vector.options);
		connection.reset();
		await wire.handled();
		if ((await lookUp(daemon, connection.peer)).length === 0) {
			// the kernel's own reading, before anybody else's: tcp_parse_auth_options()
			expect(verdictOf(vector), 'kernels throw away what is malformed, and nothing else').toBe('malformed');
			return;
		}
		seen.push(vector);
		const { profile = null, address, port: clientPort } = vector.expect;
		expect(await closedConnection(daemon, connection.peer)).toMatchObject({
			verdict: verdictOf(vector),
			profile,
			segment: profile === null ? null : 'ack',
			client: profile === null ? null : { address, port: clientPort },
		});
	});

	it('counts each connection once', async () => {
		const address = family === 4 ? wireNetwork.server4 : `[${wireNetwork.server6}]`;
		const listener = `${address}:${to}`;
		const samples = await settled(daemon, listener, seen.length);
		expect(seen.length).toBeGreaterThan(vectors.length / 2);
		const count = (some: (vector: Vector) => boolean) => BigInt(seen.filter(some).length);
		for (const result of ['toa', 'none', 'malformed', 'untrusted', 'conflict']) {
			const counted = total(samples, 'toascope_handshakes_total', { listener, result });
			expect(counted, result).toBe(count((vector) => verdictOf(vector) === result));
		}
		for (const profile of ['nat64', 'toa6', 'toa4']) {
			const counted = (labels: Record<string, string>) =>
				total(samples, 'toascope_options_total', { listener, profile, ...labels });
			expect(counted({ segment: 'ack' }), profile).toBe(count((vector) => vector.expect.profile === profile));
			expect(counted({}), profile).toBe(counted({ segment: 'ack' }));
		}
		expectIdentity(samples, listener);
	});
});
