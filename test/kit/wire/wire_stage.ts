// SPDX-License-Identifier: Apache-2.0
/**
 * A daemon, a server with several kinds of listeners, and hand-made connections to them. The
 * verdicts that the daemon reports are compared with its counters.
 */
import { expect } from 'vitest';
import type { ConnectionJson } from '../../../daemon/api/connection.ts';
import { Lab } from '../../../daemon/lab/lab.ts';
import { runToExit } from '../../../daemon/lab/process.ts';
import { Daemon } from '../daemon/daemon.ts';
import { expectIdentity, listenerTotals, metricsAtRest } from '../daemon/expected_traffic.ts';
import { closedConnection } from '../daemon/lookup.ts';
import { type Sample, total } from '../telemetry/metrics.ts';
import { Listener, type ListenerTrait } from './listener.ts';
import type { ListenerKind } from './probe.ts';
import { somePorts } from './toa_stage.ts';
import { type ConnectionOptions, Wire, wireNetwork } from './wire.ts';
import type { WireConnection } from './wire_connection.ts';

/** Further ports that the daemon watches, on which a test can start its own servers. */
const portsToSpare = 20;

export type ListenerSpec = readonly [ListenerKind, ...ListenerTrait[]];

/** The fields that the tests compare. */
export type ReportedVerdict = Pick<ConnectionJson, 'verdict' | 'profile' | 'segment' | 'client'>;

/** The fields of a connection without an option. */
export const noOption: ReportedVerdict = { verdict: 'none', profile: null, segment: null, client: null };

export class WireStage<Name extends string> implements AsyncDisposable {
	readonly lab: Lab;
	readonly wire: Wire;
	readonly daemon: Daemon;
	readonly listeners: Readonly<Record<Name, Listener>>;
	readonly #reported: ConnectionJson[] = [];

	private constructor(lab: Lab, wire: Wire, daemon: Daemon, listeners: Readonly<Record<Name, Listener>>) {
		this.lab = lab;
		this.wire = wire;
		this.daemon = daemon;
		this.listeners = listeners;
	}

	/**
	 * Starts the daemon before the listeners. `sysctls` are those of the server's namespace, by
	 * path below /proc/sys/net. `config` contains lines of the daemon's configuration. `trust`
	 * defaults to all hosts of the wire.
	 */
	static async open<Name extends string>(
		specs: Readonly<Record<Name, ListenerSpec>>,
		options: {
			readonly sysctls?: Readonly<Record<string, string>>;
			readonly config?: readonly string[];
			readonly trust?: readonly string[];
		} = {},
	): Promise<WireStage<Name>> {
		const names = Object.keys(specs) as Name[];
		const port = somePorts(names.length + portsToSpare);
		const { trust = [wireNetwork.hosts4, wireNetwork.hosts6] } = options;
		const lab = await Lab.open();
		try {
			for (const [path, value] of Object.entries(options.sysctls ?? {})) await setSysctl(lab, path, value);
			const [wire, daemon] = await Promise.all([
				Wire.open(lab),
				Daemon.start({
					config: [
						`listeners: {ports: [${port}-${port + names.length + portsToSpare - 1}]}`,
						`trust: [${trust.map((text) => `"${text}"`).join(', ')}]`,
						...(options.config ?? []),
					].join('\n'),
				}),
			]);
			const starting = names.map(async (name, index) => {
				const [kind, ...traits] = specs[name];
				return [name, await Listener.start(lab, kind, port + index, ...traits)] as const;
			});
			const listeners = Object.fromEntries(await Promise.all(starting)) as Record<Name, Listener>;
			return new WireStage(lab, wire, daemon, listeners);
		} catch (error) {
			await lab.close();
			throw error;
		}
	}

	/** Prepares a connection to a listener. */
	connection(to: Name, more: Omit<ConnectionOptions, 'to'> = {}): WireConnection {
		return this.wire.connection({ to: this.listeners[to].port, ...more });
	}

	/**
	 * Resolves with what the daemon reports about the peer's newest connection, once it has closed.
	 */
	async reported({ peer }: WireConnection): Promise<ReportedVerdict> {
		const connection = await closedConnection(this.daemon, peer);
		this.#reported.push(connection);
		const { verdict, profile, segment, client } = connection;
		return { verdict, profile, segment, client };
	}

	/** Resets the connection, and resolves like reported(). */
	reportedAfterReset(connection: WireConnection): Promise<ReportedVerdict> {
		connection.reset();
		return this.reported(connection);
	}

	/** Expects the counters of each listener to match the verdicts that reported() has returned. */
	async expectCounted(): Promise<void> {
		const samples = await this.expectVerdictsCounted();
		const options = samples.filter(({ name }) => name === 'toascope_options_total');
		for (const { labels, value } of options) {
			const found = this.#reported.filter(
				(one) =>
					one.profile === labels.profile && one.segment === labels.segment && listenerOf(one) === labels.listener,
			);
			expect(value, `${labels.listener} ${labels.profile} ${labels.segment}`).toBe(String(found.length));
		}
	}

	/** Expects the same without the profiles. Returns the samples. */
	async expectVerdictsCounted(): Promise<Sample[]> {
		const byListener = Map.groupBy(this.#reported, listenerOf);
		for (const [listener, { length }] of byListener) {
			await this.daemon.until((now) => listenerTotals(now, listener).closed >= BigInt(length) || undefined);
		}
		const samples = await metricsAtRest(this.daemon, '', 0);
		for (const [listener, connections] of byListener) {
			const counted = (name: string, labels: Record<string, string> = {}) =>
				total(samples, `toascope_${name}_total`, { listener, ...labels });
			const count = (some: (connection: ConnectionJson) => boolean) => BigInt(connections.filter(some).length);
			for (const result of ['toa', 'none', 'malformed', 'untrusted', 'conflict']) {
				expect(counted('handshakes', { result }), `${listener} ${result}`).toBe(
					count(({ verdict }) => verdict === result),
				);
			}
			expect(counted('options'), `${listener}: options`).toBe(count(({ profile }) => profile !== null));
			expect(counted('connections_opened'), `${listener}: opened`).toBe(BigInt(connections.length));
			expectIdentity(samples, listener);
		}
		return samples;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await this.daemon.stop();
		await this.lab.close();
	}
}

/** The label of the connection's listener. */
function listenerOf({ local: { address, port } }: ConnectionJson): string {
	return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Sets a sysctl in the server's namespace. */
async function setSysctl(lab: Lab, path: string, value: string): Promise<void> {
	const child = lab.spawn('server', 'tee', [`/proc/sys/net/${path}`], { stdio: ['pipe', 'ignore', 'pipe'] });
	await runToExit(child, `sysctl net/${path}`, value);
}
