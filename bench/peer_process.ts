// SPDX-License-Identifier: Apache-2.0
/** Another tool while it runs: started, waited for until its programs hang, ended as a person would. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ToascopeError } from '../daemon/errors.ts';
import { hasEnded } from '../daemon/lab/process.ts';
import type { Ground } from './ground.ts';
import { type PeerTool, peerEnvironment } from './peer_tools.ts';

/** The cgroup that they run in. */
export const peerPlace = 'peer';
/** Of an emulated machine. */
const startMs = 300_000;

/** The tools want tracefs; where it is not mounted, they get a mount of their own. */
const withTracefs = '[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"';

export class PeerProcess implements AsyncDisposable {
	readonly child: ChildProcess;
	readonly #output: string;
	readonly #ended: Promise<unknown>;

	private constructor(child: ChildProcess, output: string) {
		this.child = child;
		this.#output = output;
		this.#ended = once(child, 'close');
	}

	/**
	 * @param folder where the tools are unpacked
	 * @throws {ToascopeError} LAB_FAILED, with what it said, where it ends before it is attached
	 */
	static async start(ground: Ground, tool: PeerTool, folder: string): Promise<PeerProcess> {
		const [output, errors] = [join(ground.scratch, tool.name), join(ground.scratch, `${tool.name}.errors`)];
		const [out, err] = [openSync(output, 'w'), openSync(errors, 'w')];
		const [setpriv, ...options] = ground.mortal;
		const child = spawn(
			setpriv,
			[...options, 'unshare', '--mount', '--', 'sh', '-c', withTracefs, 'sh', ...tool.command],
			{ stdio: ['ignore', out, err], env: { ...process.env, ...peerEnvironment(folder) } },
		);
		closeSync(out);
		closeSync(err);
		const process_ = new PeerProcess(child, output);
		try {
			await process_.#whenAttached(tool, errors, ground.signal);
			ground.move(child, peerPlace);
			return process_;
		} catch (error) {
			await process_[Symbol.asyncDispose]();
			throw error;
		}
	}

	async #whenAttached({ what }: PeerTool, errors: string, signal: AbortSignal): Promise<void> {
		const until = performance.now() + startMs;
		while (hasEnded(this.child) || !isAttached(this.child.pid ?? 0)) {
			if (hasEnded(this.child) || performance.now() > until) {
				const said = readFileSync(errors, 'utf8').trim();
				throw new ToascopeError('LAB_FAILED', `${what} does not attach: ${said}`);
			}
			await setTimeout(50, undefined, { signal });
		}
	}

	/** What it wrote until now that it is ended. */
	async end(): Promise<string> {
		this.child.kill('SIGINT');
		await this.#ended;
		return readFileSync(this.#output, 'utf8');
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.child.kill('SIGKILL');
		await this.#ended;
	}
}

/** Programs hang where a process holds a link to them, or an event that they are attached to. */
function isAttached(pid: number): boolean {
	const files = `/proc/${pid}/fd`;
	try {
		return readdirSync(files).some((fd) => /bpf[-_]link|perf_event/.test(linkOf(join(files, fd))));
	} catch {
		return false; // it has ended
	}
}

function linkOf(path: string): string {
	try {
		return readlinkSync(path);
	} catch {
		return '';
	}
}
