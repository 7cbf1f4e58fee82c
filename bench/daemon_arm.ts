// SPDX-License-Identifier: Apache-2.0
/** Several daemons that are measured in turns, each attached to a cgroup of its own: one works, the others stand still. */
import type { Daemon } from '../test/fixtures/daemon.ts';
import type { Sample } from '../test/fixtures/metrics.ts';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import type { Ground } from './ground.ts';
import type { Limits, Load, Run } from './load.ts';

export interface DaemonArmOptions {
	/** Also that of its cgroup. */
	readonly name: string;
	/** YAML. */
	readonly config?: string;
	/** Undefined: this tree's. */
	readonly program?: string | undefined;
}

export interface ArmRun extends Run {
	readonly daemonCpuSeconds: number;
}

export class DaemonArm implements AsyncDisposable {
	readonly name: string;
	readonly daemon: Daemon;
	readonly #ground: Ground;
	#closed = 0;

	private constructor(ground: Ground, name: string, daemon: Daemon) {
		this.#ground = ground;
		this.name = name;
		this.daemon = daemon;
	}

	/** It stands still until it is resumed. */
	static async start(ground: Ground, { name, config, program }: DaemonArmOptions): Promise<DaemonArm> {
		const arm = new DaemonArm(ground, name, await startDaemon(ground, name, config, program));
		arm.pause();
		return arm;
	}

	/** Connections of its runs: all of them have closed. */
	get closed(): number {
		return this.#closed;
	}

	/** The daemon works on the same processors as the load: in the turn of another it stands still. */
	pause(): void {
		this.daemon.child.kill('SIGSTOP');
	}

	resume(): void {
		this.daemon.child.kill('SIGCONT');
	}

	/** A run in its turn: the server's end is in its cgroup, the client is elsewhere. */
	async serve(load: Load, limits: Limits): Promise<ArmRun> {
		this.resume();
		const before = this.#ground.cpuSeconds(daemonPlace);
		const run = await load.run({ server: this.name, client: 'without' }, limits);
		this.#closed += run.connections;
		return { ...run, daemonCpuSeconds: this.#ground.cpuSeconds(daemonPlace) - before };
	}

	/**
	 * The samples once it has counted all connections of its runs, no fewer and no more. To be called before it is paused.
	 * @throws {ToascopeError} LAB_FAILED when it has not
	 */
	counted(): Promise<Sample[]> {
		return whenClosed(this.#ground, this.daemon, this.#closed);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		// one that stands still does not end
		this.resume();
		await this.daemon[Symbol.asyncDispose]();
	}
}
