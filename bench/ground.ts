// SPDX-License-Identifier: Apache-2.0
/**
 * Where the bench works: a network namespace with loopback alone, and cgroups of its own, so
 * that nothing else counts. Nothing of it stays; what a killed bench left, the next one removes.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { findCgroup2, readMounts } from '../daemon/capture/mounts.ts';
import { requirePrivileges } from '../daemon/capture/privileges.ts';
import { ToascopeError } from '../daemon/errors.ts';
import { isReadyLine, stop, untilReady } from '../daemon/lab/process.ts';
import { findTools, type Tools } from '../daemon/lab/tools.ts';

const prefix = 'toascope-bench-';
const programs = new URL('../build/bench/', import.meta.url).pathname;

/**
 * A server that closes first holds a TIME_WAIT for each connection. With fewer places for them
 * the number is the same from the first second to the last.
 */
const holder = `
ip link set lo up &&
echo 16384 >/proc/sys/net/ipv4/tcp_max_tw_buckets &&
echo 1024 65535 >/proc/sys/net/ipv4/ip_local_port_range &&
echo '{"ready":true}' && exec cat >/dev/null`;

export class Ground implements AsyncDisposable {
	/** Aborted when the bench is to end. */
	readonly signal: AbortSignal;
	/** A folder for files. */
	readonly scratch: string;
	readonly #tools: Tools;
	readonly #directory: string;
	readonly #holder: ChildProcess;

	private constructor(signal: AbortSignal, tools: Tools, directory: string, scratch: string) {
		this.signal = signal;
		this.scratch = scratch;
		this.#tools = tools;
		this.#directory = directory;
		const [setpriv, ...options] = this.mortal;
		this.#holder = spawn(setpriv, [...options, tools.unshare, '--net', '--', tools.sh, '-c', holder], {
			stdio: 'pipe',
		});
	}

	/** @throws {ToascopeError} NO_PRIVILEGE, NO_CGROUP2, MISSING_TOOL, LAB_FAILED */
	static async open(signal: AbortSignal): Promise<Ground> {
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
		const ground = new Ground(signal, tools, directory, scratch);
		try {
			await untilReady(ground.#holder, 'the network namespace', isReadyLine);
			return ground;
		} catch (error) {
			await ground[Symbol.asyncDispose]();
			throw error;
		}
	}

	/** What a command begins with that gets SIGKILL when this process dies. */
	get mortal(): readonly [string, ...string[]] {
		return [this.#tools.setpriv, '--pdeathsig', 'KILL', '--'];
	}

	/** The cgroup that holds all others. */
	get directory(): string {
		return this.#directory;
	}

	/** The cgroup of that name, made when it is first asked for. */
	cgroup(name: string): string {
		const directory = join(this.#directory, name);
		mkdirSync(directory, { recursive: true });
		return directory;
	}

	/** Moves a process, with all its threads; sockets that it has already stay where they are. */
	move({ pid }: { readonly pid?: number | undefined }, cgroup: string): void {
		writeFileSync(join(this.cgroup(cgroup), 'cgroup.procs'), `${pid}`);
	}

	/** Processor time of all that ran in that cgroup, or in any of the bench's: cgroup-v2.rst, cpu.stat. */
	cpuSeconds(cgroup = ''): number {
		const stat = readFileSync(join(this.#directory, cgroup, 'cpu.stat'), 'utf8');
		return Number(/^usage_usec (\d+)$/m.exec(stat)?.[1]) / 1e6;
	}

	/** Starts one of the bench's programs, or that of an absolute path, in the namespace. It gets SIGKILL when this process dies. */
	spawn(program: string, args: readonly string[]): ChildProcess {
		const [setpriv, ...options] = this.mortal;
		const enter = [this.#tools.nsenter, `--net=/proc/${this.#holder.pid}/ns/net`, '--'];
		return spawn(setpriv, [...options, ...enter, resolve(programs, program), ...args], { stdio: 'pipe' });
	}

	/** The same for a program that starts others: as the first of a PID namespace it takes them with it, however it ends. */
	spawnFirst(program: string, args: readonly string[]): ChildProcess {
		return this.spawn(this.#tools.unshare, ['--pid', '--fork', '--kill-child', '--', program, ...args]);
	}

	/** Programs of others that run for sockets in here, on hooks that toascope uses: they cost both arms something. */
	async otherPrograms(): Promise<number> {
		const child = this.spawn('toascope-runtime', ['others', this.#directory]);
		const answer = await untilReady(child, 'toascope-runtime', isReadyLine);
		return (answer as { readonly others: number }).others;
	}

	/** To be called when all processes in it have ended. */
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

/** What a bench left that is no longer there. */
function stale(folder: string): string[] {
	return readdirSync(folder)
		.filter((name) => name.startsWith(prefix) && !existsSync(`/proc/${name.slice(prefix.length)}`))
		.map((name) => join(folder, name));
}
