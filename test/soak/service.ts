// SPDX-License-Identifier: Apache-2.0
/**
 * A service whose cgroup is removed and created again, as systemd does at each restart, and a
 * daemon that is attached only to this cgroup.
 */
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Sandbox } from '../../bench/sandbox.ts';
import { logLines } from '../../daemon/log_lines.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { listenerTotals, metricsAtRest, type TrafficTotals } from '../kit/daemon/expected_traffic.ts';
import { type Sample, total } from '../kit/telemetry/metrics.ts';
import { SteadyLoad } from '../kit/wire/steady_load.ts';
import { expectEqual } from './checks.ts';

const cgroup = 'service';
const perRestart = 100;
/** Whether this version logs that the cgroup was removed. */
const logsDetachment = Object.values(logLines).some(({ text }) => /programs were detached/.test(text));
const program = 'toascope_sockops';
const isAttached = (samples: Sample[]) => total(samples, 'toascope_program_attached', { program }) === 1n;
const timesLost = (samples: Sample[]) => total(samples, 'toascope_attachments_lost_total', { attachment: program });

export class Service implements AsyncDisposable {
	readonly #sandbox: Sandbox;
	readonly #port: number;
	#daemon: Daemon;
	#load: SteadyLoad | undefined;
	/** Counts of both ends of its load, over all restarts. */
	#account: TrafficTotals = { opened: 0n, closed: 0n, received: 0n, sent: 0n };

	private constructor(sandbox: Sandbox, port: number, daemon: Daemon) {
		this.#sandbox = sandbox;
		this.#port = port;
		this.#daemon = daemon;
	}

	static async start(sandbox: Sandbox, port: number): Promise<Service> {
		sandbox.cgroup(cgroup);
		return new Service(sandbox, port, await startDaemon(sandbox, port));
	}

	get daemon(): Daemon {
		return this.#daemon;
	}

	/** Runs the service for a while, ends it, removes its cgroup, and creates the cgroup again. */
	async restart(): Promise<string> {
		this.#load = await SteadyLoad.start({
			sandbox: this.#sandbox,
			cgroup,
			port: this.#port,
			clients: 50,
			perSecond: 100,
			nice: true,
		});
		try {
			await this.#load.more(perRestart);
			this.#account = sum(this.#account, await this.#load.stop());
		} finally {
			await this.#load[Symbol.asyncDispose]();
		}
		await this.checkCounts();
		const summary = `${this.#account.opened} connections so far`;
		const directory = join(this.#sandbox.directory, cgroup);
		const before = timesLost(await this.#daemon.metrics());
		await removeCgroup(directory);
		// the log reports it at most once a minute, and restarts are more frequent
		if (logsDetachment) await this.#daemon.until((samples) => timesLost(samples) > before || undefined);
		mkdirSync(directory);
		if (logsDetachment) {
			await this.#daemon.until((samples) => isAttached(samples) || undefined);
		} else {
			// this version stays attached to the cgroup that it found at its start
			await this.#daemon.stop();
			this.#daemon = await startDaemon(this.#sandbox, this.#port);
			this.#account = { opened: 0n, closed: 0n, received: 0n, sent: 0n };
		}
		return summary;
	}

	/** @throws {Error} unless the daemon's counts are those of both ends */
	async checkCounts(): Promise<void> {
		const listener = `127.0.0.1:${this.#port}`;
		const samples = await metricsAtRest(this.#daemon, listener, Number(this.#account.closed));
		expectEqual('counted', listenerTotals(samples, listener), this.#account);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		// a step that timed out has left its load running
		await this.#load?.[Symbol.asyncDispose]();
		await this.#daemon[Symbol.asyncDispose]();
	}
}

function startDaemon(sandbox: Sandbox, port: number): Promise<Daemon> {
	return Daemon.start({
		config: `cgroup: ${sandbox.cgroup(cgroup)}\nlisteners: {ports: [${port}]}\nlog: {format: json}`,
		parent: sandbox.scratch,
		through: sandbox.killedWithParent,
	});
}

function sum(one: TrafficTotals, other: TrafficTotals): TrafficTotals {
	return {
		opened: one.opened + other.opened,
		closed: one.closed + other.closed,
		received: one.received + other.received,
		sent: one.sent + other.sent,
	};
}

/**
 * Removes a cgroup. It tries repeatedly, because a process leaves its cgroup only shortly after it
 * was reaped.
 */
async function removeCgroup(directory: string): Promise<void> {
	for (;;) {
		try {
			rmdirSync(directory);
			return;
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code !== 'EBUSY') throw error;
			await new Promise((resolve) => setTimeout(resolve, 20));
		}
	}
}
