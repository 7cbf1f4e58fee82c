// SPDX-License-Identifier: Apache-2.0
/** The lab's processes: JSON lines from them, errors that say what they said, an end that is waited for. */
import type { ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ToascopeError } from '../errors.ts';

/** How long a process may take to end by itself before it is killed (milliseconds). */
const graceMs = 2000;
const stderrKept = 4096;

/** Calls `onValue` for each line, parsed. Lines that are not JSON are skipped. */
export function readJsonLines(stream: Readable, onValue: (value: unknown) => void): Interface {
	return createInterface({ input: stream }).on('line', (line) => {
		let value: unknown;
		try {
			value = JSON.parse(line);
		} catch {
			return;
		}
		onValue(value);
	});
}

export function hasEnded(child: ChildProcess): boolean {
	return child.exitCode !== null || child.signalCode !== null;
}

function failure(name: string, reason: string, stderr: string): ToascopeError {
	const said = stderr.trim();
	if (/operation not permitted/i.test(said)) {
		return new ToascopeError('NO_PRIVILEGE', `${name}: ${said}`, { hint: 'run as root' });
	}
	return new ToascopeError('LAB_FAILED', `${name} ${reason}${said === '' ? '' : `: ${said}`}`);
}

/** Gathers the last of what a process says on standard error. */
function keepStderr(child: ChildProcess): () => string {
	let text = '';
	child.stderr?.setEncoding('utf8').on('data', (part: string) => {
		text = (text + part).slice(-stderrKept);
	});
	return () => text;
}

/**
 * Resolves with the first JSON line for which `isReady` holds; every other goes to `onValue`, then and later.
 * @throws ToascopeError LAB_FAILED, or NO_PRIVILEGE, with what the process said, when it ends before that.
 */
export function untilReady(
	child: ChildProcess,
	name: string,
	isReady: (value: unknown) => boolean,
	onValue: (value: unknown) => void = () => {},
): Promise<unknown> {
	const stderr = keepStderr(child);
	return new Promise((resolve, reject) => {
		let ready = false;
		child.once('error', (error) => reject(failure(name, 'did not start', error.message)));
		child.once('close', (code, signal) => {
			if (!ready) reject(failure(name, `ended with ${signal ?? code}`, stderr()));
		});
		if (child.stdout === null) throw new TypeError(`${name} has no standard output`);
		readJsonLines(child.stdout, (value) => {
			if (ready || !isReady(value)) return onValue(value);
			ready = true;
			resolve(value);
		});
	});
}

/** `{"ready":true,...}` */
export function isReadyLine(value: unknown): boolean {
	return typeof value === 'object' && value !== null && 'ready' in value && value.ready === true;
}

/**
 * Runs a command to its end, with `input` on its standard input.
 * @throws ToascopeError LAB_FAILED, or NO_PRIVILEGE, with what it said, unless it exits with 0.
 */
export function finish(child: ChildProcess, name: string, input: string): Promise<void> {
	const stderr = keepStderr(child);
	return new Promise((resolve, reject) => {
		child.once('error', (error) => reject(failure(name, 'did not start', error.message)));
		child.once('close', (code, signal) => {
			if (code === 0) resolve();
			else reject(failure(name, `ended with ${signal ?? code}`, stderr()));
		});
		// a command that ends before it has read its input fails by its exit code, which says why
		child.stdin?.on('error', () => {});
		child.stdin?.end(input);
	});
}

/** Ends a process: end of input and `signal`, SIGKILL after 2 s; resolves when it is gone. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
	if (child.pid === undefined || hasEnded(child)) return;
	const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()));
	const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
	child.stdin?.on('error', () => {});
	child.stdin?.destroy();
	child.kill(signal);
	await gone;
	clearTimeout(timer);
}
