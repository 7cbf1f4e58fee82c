// SPDX-License-Identifier: Apache-2.0
/**
 * Clients that `transparent` cannot show: IPv6 clients at a listener whose addresses are IPv4. Each
 * such connection is counted.
 */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { toaOption } from '../kit/wire/toa_option.ts';
import { wireNetwork } from '../kit/wire/wire.ts';
import { WireStage } from '../kit/wire/wire_stage.ts';

const ipv6 = toaOption('nat64', '2001:db8::42');
const ipv4 = toaOption('toa4', '192.0.2.42');

let stage: WireStage<'inet' | 'dual' | 'opaque'>;
beforeAll(async () => {
	stage = await WireStage.open({ inet: ['4'], dual: ['dual'], opaque: ['4'] });
	const { inet, dual, opaque } = stage.listeners;
	await stage.daemon.reload(
		[
			`listeners: {ports: [${inet.port}, ${dual.port}, ${opaque.port}]}`,
			`trust: ["${wireNetwork.hosts4}"]`,
			'profiles: [nat64, toa4, cdn6]',
			`transparent: {enabled: on, ports: [${inet.port}, ${dual.port}]}`,
		].join('\n'),
	);
});
afterAll(() => stage?.[Symbol.asyncDispose]());

test.each([
	['an IPv6 client at an AF_INET listener is counted', 'inet', ipv6, 1n],
	['an IPv4 client there is not counted', 'inet', ipv4, 0n],
	['a connection without an option there is not counted', 'inet', undefined, 0n],
	['an IPv6 client at a dual-stack listener is not counted', 'dual', ipv6, 0n],
	['an IPv6 client at an AF_INET listener whose port is not transparent is not counted', 'opaque', ipv6, 0n],
] as const)('%s', async (_what, name, option, hidden) => {
	const listener = `${wireNetwork.server4}:${stage.listeners[name].port}`;
	const of = (samples: readonly Sample[], metric: string) => total(samples, metric, { listener });
	const hiddenIn = (samples: readonly Sample[]) => of(samples, 'toascope_connections_hidden_by_family_total');
	const closedIn = (samples: readonly Sample[]) => of(samples, 'toascope_connections_closed_total');
	const before = await stage.daemon.metrics();
	(await stage.connection(name).open(option)).reset();
	const after = await stage.daemon.until((now) => (closedIn(now) > closedIn(before) ? now : undefined));
	expect(hiddenIn(after) - hiddenIn(before)).toBe(hidden);
});

test('an IPv6 client on the SYN is counted by a sweep, since no callback comes for the data', async () => {
	const listener = `${wireNetwork.server4}:${stage.listeners.inet.port}`;
	const hiddenIn = (samples: readonly Sample[]) =>
		total(samples, 'toascope_connections_hidden_by_family_total', { listener });
	const before = hiddenIn(await stage.daemon.metrics());
	const one = stage.connection('inet');
	one.syn({ options: toaOption('cdn6', '2001:db8::42') });
	await one.synAck();
	one.acknowledge();
	one.data('some');
	await one.acknowledged(4);
	await stage.daemon.until((now) => (hiddenIn(now) === before + 1n ? now : undefined));
	one.reset();
});
