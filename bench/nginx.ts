// SPDX-License-Identifier: Apache-2.0
/**
 * nginx, unmodified: one master and its workers serve all cgroups, so that no run differs from another by its memory
 * layout. A listener belongs to the cgroup that the master was in when it opened it, and so do the
 * connections that it accepts: the master goes from cgroup to cgroup, and a reload opens the next listener.
 */
import type { ChildProcess } from 'node:child_process';
import { on, once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ToascopeError } from '../daemon/errors.ts';
import { hasEnded } from '../daemon/lab/process.ts';
import type { Ground } from './ground.ts';

/** Where nginx itself runs. */
const home = 'nginx';
const firstPort = 8001;
/** For a start, a reload, or its end. */
const silenceMs = 30_000;
const graceMs = 2000;

/** What Debian's nginx.conf and default site say, but for paths and ports, the user (it reads a folder of root's) and the number of workers. */
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
	/** It serves one file of so many bytes, `/page`. */
	readonly bytes: number;
	/** A listener for each. */
	readonly cgroups: readonly string[];
}

export class Nginx implements AsyncDisposable {
	readonly #ground: Ground;
	readonly #site: Site;
	readonly #directory: string;
	readonly #child: ChildProcess;
	readonly #lines: AsyncIterator<string[]>;
	readonly #said: string[] = [];
	readonly #workers = new Set<string>();

	private constructor(ground: Ground, program: string, site: Site) {
		this.#ground = ground;
		this.#site = site;
		this.#directory = mkdtempSync(join(ground.scratch, 'nginx-'));
		mkdirSync(join(this.#directory, 'html'));
		writeFileSync(join(this.#directory, 'html', 'page'), Buffer.alloc(site.bytes, 'x'));
		this.#configure([]);
		this.#child = ground.spawnFirst(program, ['-p', this.#directory, '-c', 'nginx.conf', '-e', 'stderr']);
		const stderr = this.#child.stderr as NonNullable<ChildProcess['stderr']>;
		this.#lines = on(createInterface({ input: stderr }), 'line', { signal: ground.signal, close: ['close'] });
	}

	/** @throws {ToascopeError} LAB_FAILED with what it said */
	static async start(ground: Ground, program: string, site: Site): Promise<Nginx> {
		ground.signal.throwIfAborted();
		const nginx = new Nginx(ground, program, site);
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

	/** Of the listener in that cgroup. */
	port(cgroup: string): number {
		return firstPort + this.#site.cgroups.indexOf(cgroup);
	}

	get cpuSeconds(): number {
		return this.#ground.cpuSeconds(home);
	}

	/** Requests in the access log since the last call, which empties it: the disk then has little to do. */
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

	/** The first process of its PID namespace; the child is unshare, which waits for it. proc(5), children. */
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
		this.#ground.move({ pid: master }, cgroup);
		this.#configure(this.#site.cgroups.slice(0, listeners).map((each) => this.port(each)));
		process.kill(master, 'SIGHUP');
		await this.#untilReloaded(old);
	}

	/** New workers are there, and the old ones gone. */
	async #untilReloaded(old: ReadonlySet<string>): Promise<void> {
		const { workers } = this.#site;
		while (this.#workers.size !== workers || !this.#workers.isDisjointFrom(old)) {
			const line = await this.#nextLine();
			this.#said.push(line);
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
		const what = next ? 'ended' : 'does not go on';
		throw new ToascopeError('LAB_FAILED', `nginx ${what}: ${this.#said.slice(-5).join('\n')}`);
	}

	async [Symbol.asyncDispose](): Promise<void> {
		if (!hasEnded(this.#child)) {
			const gone = once(this.#child, 'exit');
			const late = setTimeout(() => this.#child.kill('SIGKILL'), graceMs);
			try {
				process.kill(this.#master, 'SIGTERM');
			} catch {
				// it has ended, or not begun
				this.#child.kill('SIGKILL');
			}
			await gone;
			clearTimeout(late);
		}
		rmSync(this.#directory, { recursive: true });
	}
}
