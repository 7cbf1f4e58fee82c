// SPDX-License-Identifier: Apache-2.0
/**
 * The sandbox of the bench: a network namespace with only a loopback interface, and its own
 * cgroups, so that other activity is not counted. It is removed at the end; the next run removes
 * what a killed run has left.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { ToascopeError } from '../daemon/errors.ts';
import { findCgroup2, readMounts } from '../daemon/host/mounts.ts';
import { requirePrivileges } from '../daemon/host/privileges.ts';
import { isReadyLine, stop, untilReady } from '../daemon/lab/process.ts';
import { findTools, type Tools } from '../daemon/lab/tools.ts';

const prefix = 'toascope-bench-';
const programs = new URL('../build/bench/', import.meta.url).pathname;

/**
 * A server that closes first keeps a TIME_WAIT socket for each connection. With a low limit, their
 * number is the same from the first second to the last.
 */
const holder = `
ip link set lo up &&
echo 16384 >/proc/sys/net/ipv4/tcp_max_tw_buckets &&
echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range &&
echo '{"ready":true}' && exec cat >/dev/null`;

export class Sandbox implements AsyncDisposable {
	/** Aborted when the bench must end. */
	readonly signal: AbortSignal;
	/** A directory for temporary files. */
	readonly scratch: string;
	readonly #tools: Tools;
	readonly #directory: string;
	readonly #holder: ChildProcess;

	private constructor(signal: AbortSignal, tools: Tools, directory: string, scratch: string) {
		this.signal = signal;
		this.scratch = scratch;
		this.#tools = tools;
		this.#directory = directory;
		const [setpriv, ...options] = this.killedWithParent;
		this.#holder = spawn(setpriv, [...options, tools.unshare, '--net', '--', tools.sh, '-c', holder], {
			stdio: 'pipe',
		});
	}

	/** @throws {ToascopeError} NO_PRIVILEGE, NO_CGROUP2, MISSING_TOOL, LAB_FAILED */
	static async open(signal: AbortSignal): Promise<Sandbox> {
		requirePrivileges();
		const root = findCgroup2(readMounts());
		if (root === undefined) throw new ToascopeError('NO_CGROUP2', 'cgroup v2 is not mounted');
		for (const each of stale(root)) removeTree(each);
		for (const each of stale(tmpdir())) rmSync(each, { recursive: true });
		const tools = findTools();
		const name = `${prefix}${process.pid}`;
		const [directory, scratch] = [join(root, name), join(tmpdir(), name)];
		mkdirSync(directory);
		mkdirSync(scratch);
		const sandbox = new Sandbox(signal, tools, directory, scratch);
		try {
			await untilReady(sandbox.#holder, 'the network namespace', isReadyLine);
			return sandbox;
		} catch (error) {
			await sandbox[Symbol.asyncDispose]();
			throw error;
		}
	}

	/** Prefix of a command that must get SIGKILL when this process dies. */
	get killedWithParent(): readonly [string, ...string[]] {
		return [this.#tools.setpriv, '--pdeathsig', 'KILL', '--'];
	}

	/** The cgroup above all others of the bench. */
	get directory(): string {
		return this.#directory;
	}

	/** Returns the directory of the cgroup of that name, and creates it if necessary. */
	cgroup(name: string): string {
		const directory = join(this.#directory, name);
		mkdirSync(directory, { recursive: true });
		return directory;
	}

	/**
	 * Moves a process with all its threads. Its existing sockets still belong to their old cgroup.
	 */
	move({ pid }: { readonly pid?: number | undefined }, cgroup: string): void {
		writeFileSync(join(this.cgroup(cgroup), 'cgroup.procs'), `${pid}`);
	}

	/**
	 * CPU time of all processes in that cgroup, or in all cgroups of the bench: cgroup-v2.rst,
	 * cpu.stat.
	 */
	cpuSeconds(cgroup = ''): number {
		const stat = readFileSync(join(this.#directory, cgroup, 'cpu.stat'), 'utf8');
		return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1]) / 1e6;
	}

	/**
	 * Starts a program of the bench, or one given by an absolute path, in the network namespace. It
	 * gets SIGKILL when this process dies.
	 */
	spawn(program: string, args: readonly string[]): ChildProcess {
		const [setpriv, ...options] = this.killedWithParent;
		const enter = [this.#tools.nsenter, `--net=/proc/${this.#holder.pid}/ns/net`, '--'];
		return spawn(setpriv, [...options, ...enter, resolve(programs, program), ...args], { stdio: 'pipe' });
	}

	/**
	 * As spawn(), for a program that starts others: it is the first of a PID namespace, so that
	 * they end with it, however it ends.
	 */
	spawnFirst(program: string, args: readonly string[]): ChildProcess {
		return this.spawn(this.#tools.unshare, ['--pid', '--fork', '--kill-child', '--', program, ...args]);
	}

	/**
	 * Counts the BPF programs of other software that run for the bench's sockets, on hooks that
	 * toascope uses. They add to the cost of every arm.
	 */
	async otherPrograms(): Promise<number> {
		const child = this.spawn('toascope-runtime', ['others', this.#directory]);
		const answer = await untilReady(child, 'toascope-runtime', isReadyLine);
		return (answer as { readonly others: number }).others;
	}

	/** Must be called after all processes in the sandbox have ended. */
	async [Symbol.asyncDispose](): Promise<void> {
		await stop(this.#holder, 'SIGKILL');
		removeTree(this.#directory);
		rmSync(this.scratch, { recursive: true });
	}
}

function removeTree(directory: string): void {
	for (const entry of readdirSync(directory, { withFileTypes: true })) {
		if (entry.isDirectory()) rmdirSync(join(directory, entry.name));
	}
	rmdirSync(directory);
}

/** Paths that were left by runs whose processes have ended. */
function stale(folder: string): string[] {
	return readdirSync(folder)
		.filter((name) => name.startsWith(prefix) && !existsSync(`/proc/${name.slice(prefix.length)}`))
		.map((name) => join(folder, name));
}
