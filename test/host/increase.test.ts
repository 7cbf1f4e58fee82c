// SPDX-License-Identifier: Apache-2.0
/**
 * What a real Prometheus makes of the series: over admission, folding, restarts and reloads increase() shows no traffic that
 * did not happen, neither of a client nor of all of them together.
 */
import { expect, it } from 'vitest';
import { Lab, nat64Server, network } from '../../daemon/lab/lab.ts';
import type { Result } from '../../daemon/lab/protocol.ts';
import { type Account, expectIdentity, labAccount, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { total } from '../fixtures/metrics.ts';
import { patient } from '../fixtures/patience.ts';
import { hasPrometheus, type Matrix, Prometheus } from '../fixtures/prometheus.ts';
import { somePorts } from '../fixtures/stage.ts';

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

/** As increase() has it, before it extrapolates to the ends of its range: from the last sample before `from`, seconds since 1970. */
function increaseOf({ values }: Matrix, from = 0, to = Number.POSITIVE_INFINITY): number {
	return values.reduce((sum, [at, text], index) => {
		if (index === 0 || at < from || at > to) return sum;
		const [value, before] = [Number(text), Number(values[index - 1]?.[1])];
		// a counter that has fallen began anew from 0
		return sum + (value < before ? value : value - before);
	}, 0);
}

it.skipIf(!hasPrometheus)('nothing that did not happen', { timeout: patient(120_000) }, async () => {
	const lab = await Lab.open({ routes: [{ listenPort: gatewayPort, backendPort: port, profile: 'nat64' }] });
	await using _lab = { [Symbol.asyncDispose]: () => lab.close() };
	await lab.echoServer({ port });
	const client = await lab.client();
	let daemon = await Daemon.start({ config: config(10, '1 h') });
	await using _daemon = { [Symbol.asyncDispose]: async () => void (await daemon.stop()) };
	await using prometheus = await Prometheus.start(`127.0.0.1:${httpPort}`);
	const results: Result[] = [];
	/** What was sent between moments at which all was at rest, and scraped. */
	const steps: { readonly what: string; readonly from: number; to: number; readonly sent: Account }[] = [];
	let restAt = Date.now() / 1000;

	/** Some connections of the clients; those of the first one are more. */
	async function traffic(): Promise<Result[]> {
		const some = { to: nat64Server, port: gatewayPort, send: 1000, receive: 3000 };
		const made = [
			...(await client.run({ ...some, from: '2001:db8:c::1', clients, count: 2 * clients })),
			...(await client.run({ ...some, from: '2001:db8:c::1', clients: 3, count: 30 })),
		];
		expect(made.filter(({ error }) => error !== undefined)).toEqual([]);
		results.push(...made);
		return made;
	}

	/** Resolves when Prometheus has scraped all that was done. */
	async function rest(what: string, made: readonly Result[]): Promise<void> {
		expectIdentity(await settled(daemon, listener, results.length), listener);
		const after = Date.now() / 1000;
		await prometheus.until(
			`toascope_connections_closed_total{listener="${listener}"} and timestamp(toascope_connections_closed_total) > ${after}`,
			([first]) => (first?.value[1] === String(results.length) ? true : undefined),
		);
		const to = Date.now() / 1000;
		steps.push({ what, from: restAt, to, sent: labAccount(made) });
		restAt = to;
	}

	async function restart(signal: NodeJS.Signals, during: () => Promise<Result[]>, ...how: Parameters<typeof config>) {
		await daemon.stop(signal);
		const made = await during();
		daemon = await Daemon.start({ config: config(...how) });
		return made;
	}
	const reload = async (...how: Parameters<typeof config>) => void (await daemon.reload(config(...how)));

	await rest('ten with series', await traffic());
	await rest('the same again', await traffic());
	await reload(20, '1 h');
	await rest('ten more are admitted', await traffic());
	await rest('all go on', await traffic());
	await rest('killed, and clients come meanwhile', await restart('SIGKILL', traffic, 20, '1 h'));
	await rest('with the next daemon', await traffic());
	await rest('killed, room for more', [...(await restart('SIGKILL', traffic, 25, '1 h')), ...(await traffic())]);
	await reload(25, '100 ms');
	await daemon.until((samples) => total(samples, 'toascope_clients_tracked') === 0n || undefined);
	await rest('all are folded', []);
	await reload(15, '1 h');
	await rest('some are back', await traffic());
	await reload(clients, '1 h');
	await rest('all are back', await traffic());
	await rest('killed and folded at the start', await restart('SIGKILL', async () => [], clients, '100 ms'));
	await rest('and back', [...(await traffic()), ...(await traffic())]);
	expect(total(await daemon.metrics(), 'toascope_clients_folded_total')).toBeGreaterThanOrEqual(BigInt(clients));

	const sent = (counter: Counter, some: Account) => Number(some[counter]);
	const ofClient = (name: string) => labAccount(results.filter((result) => result.client === name));
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
			const who = one.metric['client'] ?? '';
			const truth = sent(counter, who === 'other' ? labAccount(results) : ofClient(who));
			if (who === 'direct') expect(increaseOf(one)).toBe(0);
			else expect(increaseOf(one), `${counter} of ${who}`).toBeLessThanOrEqual(truth);
			// it goes on for as much as half an interval beyond the first and the last sample, or a bit more than one to the range's end
			const spanned = (one.values.at(-1)?.[0] ?? 0) - (one.values[0]?.[0] ?? 0);
			const beyond = 1 + 2.2 / (one.values.length - 1);
			if (spanned > 0) expect(increase.get(who), who).toBeLessThanOrEqual(increaseOf(one) * beyond + 1e-6);
		}
	}
});
