// SPDX-License-Identifier: Apache-2.0
/**
 * Unmodified nginx: one master and its workers serve all cgroups, so that runs do not differ in
 * memory layout. A listener, and the connections accepted from it, belong to the cgroup that the
 * master was in when it opened the listener. Therefore the master is moved from cgroup to cgroup,
 * and a reload in each opens the next listener.
 */
import type { ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ToascopeError } from '../daemon/errors.ts';
import { hasEnded } from '../daemon/lab/process.ts';
import type { Sandbox } from './sandbox.ts';

/** The cgroup that nginx itself runs in. */
const home = 'nginx';
const firstPort = 8001;
/** Time limit for a line of the log during a start or a reload. */
const silenceMs = 30_000;
const graceMs = 2000;

/**
 * Debian's nginx.conf and default site, except for paths, ports, the number of workers, and the
 * user (it reads a directory of root's).
 */
const configuration = (directory: string, workers: number, ports: readonly number[]) => `
daemon off;
user root;
worker_processes ${workers};
pid ${directory}/nginx.pid;
error_log stderr notice;
events { worker_connections 768; }
http {
	sendfile on;
	tcp_nopush on;
	types_hash_max_size 2048;
	default_type application/octet-stream;
	access_log ${directory}/access.log;
	gzip on;
	client_body_temp_path ${directory}/body;
	proxy_temp_path ${directory}/proxy;
	fastcgi_temp_path ${directory}/fastcgi;
	uwsgi_temp_path ${directory}/uwsgi;
	scgi_temp_path ${directory}/scgi;
	${ports.length === 0 ? '' : site(directory, ports)}
}
`;

const site = (directory: string, ports: readonly number[]) => `server {
		${ports.map((port) => `listen 127.0.0.1:${port};`).join(' ')}
		root ${directory}/html;
		location / { try_files $uri $uri/ =404; }
	}`;

export interface Site {
	readonly workers: number;
	/** Size of the only file, `/page`. */
	readonly bytes: number;
	/** Each gets a listener. */
	readonly cgroups: readonly string[];
}

export class Nginx implements AsyncDisposable {
	readonly #sandbox: Sandbox;
	readonly #site: Site;
	readonly #directory: string;
	readonly #child: ChildProcess;
	readonly #lines: AsyncIterator<string[]>;
	readonly #output: string[] = [];
	readonly #workers = new Set<string>();

	private constructor(sandbox: Sandbox, program: string, site: Site) {
		this.#sandbox = sandbox;
		this.#site = site;
		this.#directory = mkdtempSync(join(sandbox.scratch, 'nginx-'));
		mkdirSync(join(this.#directory, 'html'));
		writeFileSync(join(this.#directory, 'html', 'page'), Buffer.alloc(site.bytes, 'x'));
		this.#configure([]);
		this.#child = sandbox.spawnFirst(program, ['-p', this.#directory, '-c', 'nginx.conf', '-e', 'stderr']);
		const stderr = this.#child.stderr as NonNullable<ChildProcess['stderr']>;
		this.#lines = on(createInterface({ input: stderr }), 'line', { signal: sandbox.signal, close: ['close'] });
	}

	/** @throws {ToascopeError} LAB_FAILED with the last lines of its log */
	static async start(sandbox: Sandbox, program: string, site: Site): Promise<Nginx> {
		sandbox.signal.throwIfAborted();
		const nginx = new Nginx(sandbox, program, site);
		try {
			await nginx.#untilReloaded(new Set());
			for (const [index, cgroup] of site.cgroups.entries()) await nginx.#reload(cgroup, index + 1);
			await nginx.#reload(home, site.cgroups.length);
			await nginx.#lines.return?.();
			return nginx;
		} catch (error) {
			await nginx[Symbol.asyncDispose]();
			throw error;
		}
	}

	/** The port of the listener in that cgroup. */
	port(cgroup: string): number {
		return firstPort + this.#site.cgroups.indexOf(cgroup);
	}

	get cpuSeconds(): number {
		return this.#sandbox.cpuSeconds(home);
	}

	/**
	 * Returns the number of requests in the access log, and empties the log, which limits writes to
	 * the disk.
	 */
	takeLogged(): number {
		const log = readFileSync(this.#log);
		truncateSync(this.#log);
		let lines = 0;
		for (let at = log.indexOf('\n'); at >= 0; at = log.indexOf('\n', at + 1)) lines++;
		return lines;
	}

	get #log(): string {
		return join(this.#directory, 'access.log');
	}

	/**
	 * The first process of the PID namespace. The child is unshare(1), which waits for it. proc(5),
	 * children.
	 */
	get #master(): number {
		const { pid } = this.#child;
		return Number.parseInt(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'), 10);
	}

	#configure(ports: readonly number[]): void {
		writeFileSync(join(this.#directory, 'nginx.conf'), configuration(this.#directory, this.#site.workers, ports));
	}

	async #reload(cgroup: string, listeners: number): Promise<void> {
		const master = this.#master;
		const old = new Set(this.#workers);
		this.#sandbox.move({ pid: master }, cgroup);
		this.#configure(this.#site.cgroups.slice(0, listeners).map((each) => this.port(each)));
		process.kill(master, 'SIGHUP');
		await this.#untilReloaded(old);
	}

	/** Resolves when the new workers have started and the old ones have exited. */
	async #untilReloaded(old: ReadonlySet<string>): Promise<void> {
		const { workers } = this.#site;
		while (this.#workers.size !== workers || !this.#workers.isDisjointFrom(old)) {
			const line = await this.#nextLine();
			this.#output.push(line);
			const [, started] = /start worker process (\d+)$/.exec(line) ?? [];
			const [, ended] = /worker process (\d+) exited/.exec(line) ?? [];
			if (started !== undefined) this.#workers.add(started);
			if (ended !== undefined) this.#workers.delete(ended);
		}
	}

	async #nextLine(): Promise<string> {
		const { promise: silence, resolve } = Promise.withResolvers<void>();
		const timer = setTimeout(resolve, silenceMs);
		const next = await Promise.race([this.#lines.next(), silence]).finally(() => clearTimeout(timer));
		if (next && next.done !== true) return next.value[0] ?? '';
		const what = next ? 'exited' : `logged nothing for ${silenceMs / 1000} s`;
		throw new ToascopeError('LAB_FAILED', `nginx ${what}: ${this.#output.slice(-5).join('\n')}`);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (!hasEnded(this.#child)) {
			const gone = once(this.#child, 'exit');
			const late = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
			try {
				process.kill(this.#master, 'SIGTERM');
			} catch {
				// the master has exited, or has not started
				this.#child.kill('SIGKILL');
			}
			await gone;
			clearTimeout(late);
		}
		rmSync(this.#directory, { recursive: true });
	}
}
