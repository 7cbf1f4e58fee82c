// SPDX-License-Identifier: Apache-2.0
/** The lab's processes: reads their JSON lines, adds standard error to errors, waits for exits. */
import type { ChildProcess } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import type { Readable } from 'node:stream';
import { ToascopeError } from '../errors.ts';

/** How long a process has to exit by itself before it is killed (milliseconds). */
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
	const output = stderr.trim();
	if (/operation not permitted/i.test(output)) {
		return new ToascopeError('NO_PRIVILEGE', `${name}: ${output}`, { hint: 'run as root' });
	}
	return new ToascopeError('LAB_FAILED', `${name} ${reason}${output === '' ? '' : `: ${output}`}`);
}

/** Keeps the end of what a process writes to standard error. */
function keepStderr(child: ChildProcess): () => string {
	let text = '';
	child.stderr?.setEncoding('utf8').on('data', (part: string) => {
		text = (text + part).slice(-stderrKept);
	});
	return () => text;
}

/**
 * Resolves with the first JSON line for which `isReady` holds. Every other line, also later, goes
 * to `onValue`.
 * @throws ToascopeError LAB_FAILED, or NO_PRIVILEGE, with its standard error, when it exits before.
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
			if (!ready) reject(failure(name, `exited with ${signal ?? code}`, stderr()));
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
 * @throws ToascopeError LAB_FAILED, or NO_PRIVILEGE, with its standard error, unless it exits 0.
 */
export function runToExit(child: ChildProcess, name: string, input: string): Promise<void> {
	const stderr = keepStderr(child);
	return new Promise((resolve, reject) => {
		child.once('error', (error) => reject(failure(name, 'did not start', error.message)));
		child.once('close', (code, signal) => {
			if (code === 0) resolve();
			else reject(failure(name, `exited with ${signal ?? code}`, stderr()));
		});
		// EPIPE: the command exited before it read its input, and its exit code says why
		child.stdin?.on('error', () => {});
		child.stdin?.end(input);
	});
}

/** Stops a process: ends its input, sends `signal`, SIGKILL after 2 s. Resolves on its exit. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
	if (child.pid === undefined || hasEnded(child)) return;
	const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
	const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
	child.stdin?.on('error', () => {});
	child.stdin?.destroy();
	child.kill(signal);
	await exited;
	clearTimeout(timer);
}
