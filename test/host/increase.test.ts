// SPDX-License-Identifier: Apache-2.0
/**
 * The series in a real Prometheus: across admission, folding, restarts and reloads, increase()
 * shows no traffic that did not happen, neither for a client nor for all of them together.
 */
import { expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { ConnectionResult } from '../../daemon/lab/protocol.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { expectIdentity, labTotals, metricsAtRest, type TrafficTotals } from '../kit/daemon/expected_traffic.ts';
import { total } from '../kit/telemetry/metrics.ts';
import { hasPrometheus, type Matrix, Prometheus } from '../kit/telemetry/prometheus.ts';
import { scaleTimeout } from '../kit/timeouts.ts';
import { somePorts } from '../kit/wire/toa_stage.ts';

const [port, httpPort] = [somePorts(1), somePorts(1)];
const listener = `${network.server}:${port}`;
const gatewayPort = 10_001;
const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const clients = 30;
const http = `http: {listen: "127.0.0.1:${httpPort}", socket: off}`;

const config = (maxExported: number, idle: string) =>
	[
		`listeners: {ports: [${port}]}`,
		`bpf: {pin: ${pin}}`,
		`clients: {max_exported: ${maxExported}, idle: ${idle}}`,
		http,
		'log: {format: json}',
	].join('\n');

const names = { opened: 'connections_opened', received: 'received_bytes', sent: 'sent_bytes' } as const;
type Counter = keyof typeof names;
const counters = Object.keys(names) as Counter[];

/**
 * The result of increase() before it extrapolates to the ends of its range, beginning at the last
 * sample before `from`. Times are in seconds since 1970.
 */
function increaseOf({ values }: Matrix, from = 0, to = Number.POSITIVE_INFINITY): number {
	return values.reduce((sum, [at, text], index) => {
		if (index === 0 || at < from || at > to) return sum;
		const [value, before] = [Number(text), Number(values[index - 1]?.[1])];
		// a counter that has decreased has started again from 0
		return sum + (value < before ? value : value - before);
	}, 0);
}

it.skipIf(!hasPrometheus)('increase() shows only real traffic', { timeout: scaleTimeout(120_000) }, async () => {
	const lab = await Lab.open({ routes: [{ listenPort: gatewayPort, backendPort: port, profile: 'nat64' }] });
	await using _lab = { [Symbol.asyncDispose]: () => lab.close() };
	await lab.echoServer({ port });
	const client = await lab.client();
	let daemon = await Daemon.start({ config: config(10, '1 h') });
	await using _daemon = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using prometheus = await Prometheus.start(`127.0.0.1:${httpPort}`);
	const results: ConnectionResult[] = [];
	/** The traffic between two moments at which everything was at rest and had been scraped. */
	const steps: { readonly what: string; readonly from: number; to: number; readonly sent: TrafficTotals }[] = [];
	let restAt = Date.now() / 1000;

	/** Makes connections of all clients, and more of the first three. */
	async function traffic(): Promise<ConnectionResult[]> {
		const some = { to: nat64Server, port: gatewayPort, send: 1000, receive: 3000 };
		const made = [
			...(await client.run({ ...some, from: '2001:db8:c::1', clients, count: 2 * clients })),
			...(await client.run({ ...some, from: '2001:db8:c::1', clients: 3, count: 30 })),
		];
		expect(made.filter(({ error }) => error !== undefined)).toEqual([]);
		results.push(...made);
		return made;
	}

	/** Resolves when Prometheus has scraped all connections made so far. */
	async function rest(what: string, made: readonly ConnectionResult[]): Promise<void> {
		expectIdentity(await metricsAtRest(daemon, listener, results.length), listener);
		const after = Date.now() / 1000;
		await prometheus.until(
			`toascope_connections_closed_total{listener="${listener}"} and timestamp(toascope_connections_closed_total) > ${after}`,
			([first]) => (first?.value[1] === String(results.length) ? true : undefined),
		);
		const to = Date.now() / 1000;
		steps.push({ what, from: restAt, to, sent: labTotals(made) });
		restAt = to;
	}

	async function restart(
		signal: NodeJS.Signals,
		during: () => Promise<ConnectionResult[]>,
		...how: Parameters<typeof config>
	) {
		await daemon.stop(signal);
		const made = await during();
		daemon = await Daemon.start({ config: config(...how) });
		return made;
	}
	const reload = async (...how: Parameters<typeof config>) => void (await daemon.reload(config(...how)));

	await rest('ten with series', await traffic());
	await rest('the same ten', await traffic());
	await reload(20, '1 h');
	await rest('ten more are admitted', await traffic());
	await rest('all continue', await traffic());
	await rest('killed, with traffic meanwhile', await restart('SIGKILL', traffic, 20, '1 h'));
	await rest('with the next daemon', await traffic());
	await rest('killed, with room for more', [...(await restart('SIGKILL', traffic, 25, '1 h')), ...(await traffic())]);
	await reload(25, '100 ms');
	await daemon.until((samples) => total(samples, 'toascope_clients_tracked') === 0n || undefined);
	await rest('all are folded', []);
	await reload(15, '1 h');
	await rest('some have returned', await traffic());
	await reload(clients, '1 h');
	await rest('all have returned', await traffic());
	await rest('killed and folded at the start', await restart('SIGKILL', async () => [], clients, '100 ms'));
	await rest('returned after that', [...(await traffic()), ...(await traffic())]);
	expect(total(await daemon.metrics(), 'toascope_clients_folded_total')).toBeGreaterThanOrEqual(BigInt(clients));

	const sent = (counter: Counter, some: TrafficTotals) => Number(some[counter]);
	const ofClient = (name: string) => labTotals(results.filter((result) => result.client === name));
	for (const counter of counters) {
		const name = `toascope_client_${names[counter]}_total{listener="${listener}"}`;
		const series = await prometheus.samples(`${name}[10m]`);
		expect(series.length).toBeGreaterThan(clients);
		for (const { what, from, to, sent: truth } of steps) {
			const all = series.reduce((sum, one) => sum + increaseOf(one, from, to), 0);
			expect(all, `${counter} of all, ${what}`).toBeLessThanOrEqual(sent(counter, truth));
		}
		const increase = new Map(
			(await prometheus.query(`increase(${name}[10m])`)).map(({ metric, value }) => [
				metric['client'],
				Number(value[1]),
			]),
		);
		for (const one of series) {
			const label = one.metric['client'] ?? '';
			const truth = sent(counter, label === 'other' ? labTotals(results) : ofClient(label));
			if (label === 'direct') expect(increaseOf(one)).toBe(0);
			else expect(increaseOf(one), `${counter} of ${label}`).toBeLessThanOrEqual(truth);
			// increase() extrapolates by up to half an interval beyond the first and the last
			// sample, or by a bit more than one to the end of the range
			const spanned = (one.values.at(-1)?.[0] ?? 0) - (one.values[0]?.[0] ?? 0);
			const beyond = 1 + 2.2 / (one.values.length - 1);
			if (spanned > 0) expect(increase.get(label), label).toBeLessThanOrEqual(increaseOf(one) * beyond + 1e-6);
		}
	}
});
