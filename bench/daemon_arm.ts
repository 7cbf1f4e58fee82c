// SPDX-License-Identifier: Apache-2.0
/**
 * Several daemons that are measured alternately, each attached to its own cgroup: one runs while
 * the others are stopped (SIGSTOP).
 */
import type { Daemon } from '../test/kit/daemon/daemon.ts';
import type { Sample } from '../test/kit/telemetry/metrics.ts';
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import type { Limits, Load, Run } from './load.ts';
import type { Sandbox } from './sandbox.ts';

export interface DaemonArmOptions {
	/** Also the name of its cgroup. */
	readonly name: string;
	/** YAML. */
	readonly config?: string;
	/** The daemon of another tree; undefined: this tree's. */
	readonly program?: string | undefined;
}

export interface ArmRun extends Run {
	readonly daemonCpuSeconds: number;
}

export class DaemonArm implements AsyncDisposable {
	readonly name: string;
	readonly daemon: Daemon;
	readonly #sandbox: Sandbox;
	#closed = 0;

	private constructor(sandbox: Sandbox, name: string, daemon: Daemon) {
		this.#sandbox = sandbox;
		this.name = name;
		this.daemon = daemon;
	}

	/** The daemon is stopped until it is resumed. */
	static async start(sandbox: Sandbox, { name, config, program }: DaemonArmOptions): Promise<DaemonArm> {
		const arm = new DaemonArm(sandbox, name, await startDaemon(sandbox, name, config, program));
		arm.pause();
		return arm;
	}

	/** Number of connections of all its runs, each of them closed. */
	get closed(): number {
		return this.#closed;
	}

	/**
	 * The daemon uses the same processors as the load, so it is stopped while another is measured.
	 */
	pause(): void {
		this.daemon.child.kill('SIGSTOP');
	}

	resume(): void {
		this.daemon.child.kill('SIGCONT');
	}

	/**
	 * Resumes the daemon and runs the load, with the server's end in its cgroup and the client
	 * outside.
	 */
	async serve(load: Load, limits: Limits): Promise<ArmRun> {
		this.resume();
		const before = this.#sandbox.cpuSeconds(daemonCgroup);
		const run = await load.run({ server: this.name, client: 'without' }, limits);
		this.#closed += run.connections;
		return { ...run, daemonCpuSeconds: this.#sandbox.cpuSeconds(daemonCgroup) - before };
	}

	/**
	 * Returns the samples once the daemon has counted exactly the connections of its runs. Must be
	 * called before it is paused.
	 * @throws {ToascopeError} LAB_FAILED if it has not within the limit
	 */
	counted(): Promise<Sample[]> {
		return untilClosed(this.#sandbox, this.daemon, this.#closed);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		// a stopped process does not handle signals
		this.resume();
		await this.daemon[Symbol.asyncDispose]();
	}
}
