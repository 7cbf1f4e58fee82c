// SPDX-License-Identifier: Apache-2.0
/**
 * This process as others see it: its name, the signals that do not end it, and the warnings of
 * Node.js. main.ts imports this file before all others, since it takes effect when it is loaded.
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';

/** Their default action ends the process, which is never what their sender wants. */
const ignoredSignals = [
	'SIGUSR2',
	'SIGALRM',
	'SIGVTALRM',
	'SIGPROF',
	'SIGIO',
	'SIGPWR',
	'SIGSTKFLT',
	'SIGXCPU',
	'SIGXFSZ',
] as const satisfies NodeJS.Signals[];

let onIgnored: (signal: NodeJS.Signals) => void = () => {};
let onWarning: (warning: Error) => void = (warning) => process.stderr.write(`toascope: ${warning}\n`);

/** Makes these signals, and SIGUSR1, only call `ignored`. */
export function ignoreSignals(ignored: (signal: NodeJS.Signals) => void): void {
	onIgnored = ignored;
	for (const signal of ignoredSignals) process.on(signal, ignored);
}

/** Passes warnings of Node.js to `to`, which replaces the text on standard error. */
export function routeWarnings(to: (warning: Error) => void): void {
	onWarning = to;
}

/**
 * Sets the name that pgrep(1) and top(1) show. It is that of the main thread only, and is not set
 * through process.title, which would overwrite the arguments in ps(1).
 */
function setProcessName(): void {
	try {
		writeFileSync('/proc/self/comm', 'toascope');
	} catch {
		// /proc is read-only, or not mounted
		process.title = 'toascope';
	}
}

// By default Node.js opens its debugger at SIGUSR1: a loopback port through which every local user
// could run code as this process
process.on('SIGUSR1', () => onIgnored('SIGUSR1'));
process.removeAllListeners('warning');
process.on('warning', (warning) => onWarning(warning));
setProcessName();
