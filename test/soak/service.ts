// SPDX-License-Identifier: Apache-2.0
/** A service whose cgroup is removed and made again, as systemd does at each restart, and the daemon that serves this cgroup alone. */
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Ground } from '../../bench/ground.ts';
import { logLines } from '../../daemon/log_lines.ts';
import { type Account, listenerAccount, settled } from '../fixtures/accounts.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { type Sample, total } from '../fixtures/metrics.ts';
import { SteadyLoad } from '../fixtures/steady_load.ts';
import { same } from './checks.ts';

const cgroup = 'service';
const perRestart = 100;
/** This version says when the cgroup goes. */
const noticesIt = Object.values(logLines).some(({ text }) => /programs were detached/.test(text));
const program = 'toascope_sockops';
const isAttached = (samples: Sample[]) => total(samples, 'toascope_program_attached', { program }) === 1n;
const timesLost = (samples: Sample[]) => total(samples, 'toascope_attachments_lost_total', { attachment: program });

export class Service implements AsyncDisposable {
	readonly #ground: Ground;
	readonly #port: number;
	#daemon: Daemon;
	#load: SteadyLoad | undefined;
	/** What both ends of its load counted, over all restarts. */
	#account: Account = { opened: 0n, closed: 0n, received: 0n, sent: 0n };

	private constructor(ground: Ground, port: number, daemon: Daemon) {
		this.#ground = ground;
		this.#port = port;
		this.#daemon = daemon;
	}

	static async start(ground: Ground, port: number): Promise<Service> {
		ground.cgroup(cgroup);
		return new Service(ground, port, await startDaemon(ground, port));
	}

	get daemon(): Daemon {
		return this.#daemon;
	}

	/** It runs for a while, ends, and its cgroup with it; then there is the cgroup again. */
	async restart(): Promise<string> {
		this.#load = await SteadyLoad.start({
			ground: this.#ground,
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
		await this.exact();
		const told = `${this.#account.opened} connections so far`;
		const directory = join(this.#ground.directory, cgroup);
		const before = timesLost(await this.#daemon.metrics());
		await removed(directory);
		// the log says it once a minute, and restarts are more frequent
		if (noticesIt) await this.#daemon.until((samples) => timesLost(samples) > before || undefined);
		mkdirSync(directory);
		if (noticesIt) {
			await this.#daemon.until((samples) => isAttached(samples) || undefined);
		} else {
			// this version stays with the cgroup that it found at its start
			await this.#daemon.stop();
			this.#daemon = await startDaemon(this.#ground, this.#port);
			this.#account = { opened: 0n, closed: 0n, received: 0n, sent: 0n };
		}
		return told;
	}

	/** @throws {Error} unless the daemon has counted what both ends did */
	async exact(): Promise<void> {
		const listener = `127.0.0.1:${this.#port}`;
		const samples = await settled(this.#daemon, listener, Number(this.#account.closed));
		same('counted', listenerAccount(samples, listener), this.#account);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		// a step that took too long has left it
		await this.#load?.[Symbol.asyncDispose]();
		await this.#daemon[Symbol.asyncDispose]();
	}
}

function startDaemon(ground: Ground, port: number): Promise<Daemon> {
	return Daemon.start({
		config: `cgroup: ${ground.cgroup(cgroup)}\nlisteners: {ports: [${port}]}\nlog: {format: json}`,
		parent: ground.scratch,
		through: ground.mortal,
	});
}

function sum(one: Account, other: Account): Account {
	return {
		opened: one.opened + other.opened,
		closed: one.closed + other.closed,
		received: one.received + other.received,
		sent: one.sent + other.sent,
	};
}

/** Its last process is gone a moment after it was reaped. */
async function removed(directory: string): Promise<void> {
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
