// SPDX-License-Identifier: Apache-2.0
/**
 * Runs another tool: starts it, waits until its programs are attached, and ends it with SIGINT, as
 * Ctrl-C does.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { ToascopeError } from '../daemon/errors.ts';
import { hasEnded } from '../daemon/lab/process.ts';
import { type ComparedTool, toolEnvironment } from './peer_tools.ts';
import type { Sandbox } from './sandbox.ts';

/** The cgroup that the tools run in. */
export const toolCgroup = 'peer';
/** Time limit for attaching, on an emulated machine. */
const startMs = 300_000;

/**
 * The tools require tracefs. If it is not mounted, it is mounted for them in their own mount
 * namespace.
 */
const withTracefs = '[ -e /sys/kernel/tracing/events ] || mount -t tracefs tracefs /sys/kernel/tracing; exec "$@"';

export class ToolProcess implements AsyncDisposable {
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
	 * @throws {ToascopeError} LAB_FAILED with its error output, if it ends before its programs are
	 * attached
	 */
	static async start(sandbox: Sandbox, tool: ComparedTool, folder: string): Promise<ToolProcess> {
		const [output, errors] = [join(sandbox.scratch, tool.name), join(sandbox.scratch, `${tool.name}.errors`)];
		const [out, err] = [openSync(output, 'w'), openSync(errors, 'w')];
		const [setpriv, ...options] = sandbox.killedWithParent;
		const child = spawn(
			setpriv,
			[...options, 'unshare', '--mount', '--', 'sh', '-c', withTracefs, 'sh', ...tool.command],
			{ stdio: ['ignore', out, err], env: { ...process.env, ...toolEnvironment(folder) } },
		);
		closeSync(out);
		closeSync(err);
		const process_ = new ToolProcess(child, output);
		try {
			await process_.#whenAttached(tool, errors, sandbox.signal);
			sandbox.move(child, toolCgroup);
			return process_;
		} catch (error) {
			await process_[Symbol.asyncDispose]();
			throw error;
		}
	}

	async #whenAttached({ what }: ComparedTool, errors: string, signal: AbortSignal): Promise<void> {
		const until = performance.now() + startMs;
		while (hasEnded(this.child) || !isAttached(this.child.pid ?? 0)) {
			if (hasEnded(this.child) || performance.now() > until) {
				const output = readFileSync(errors, 'utf8').trim();
				throw new ToascopeError('LAB_FAILED', `${what} did not attach its programs: ${output}`);
			}
			await setTimeout(50, undefined, { signal });
		}
	}

	/** Ends the tool, and returns its output. */
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

/**
 * Programs are attached if the process holds a BPF link, or a perf event that they are attached to.
 */
function isAttached(pid: number): boolean {
	const files = `/proc/${pid}/fd`;
	try {
		return readdirSync(files).some((fd) => /bpf[-_]link|perf_event/.test(targetOf(join(files, fd))));
	} catch {
		return false; // the process has ended
	}
}

function targetOf(path: string): string {
	try {
		return readlinkSync(path);
	} catch {
		return '';
	}
}
