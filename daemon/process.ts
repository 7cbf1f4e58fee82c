// SPDX-License-Identifier: Apache-2.0
/**
 * This process as others see it: its name, the signals that it does not end by, and what Node.js itself says. main.ts imports this before
 * all else, since it takes effect when it is loaded.
 */
import { writeFileSync } from 'node:fs';
import process from 'node:process';

// Node.js would open its debugger for every local user: a port on loopback by which code runs as this one
process.on('SIGUSR1', () => onIgnored('SIGUSR1'));
process.removeAllListeners('warning');
process.on('warning', (warning) => onWarning(warning));
name();

/** Their default action is to end the process, and nobody means that by them. */
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

/** From now on these signals only call `ignored`. */
export function ignoreSignals(ignored: (signal: NodeJS.Signals) => void): void {
	onIgnored = ignored;
	for (const signal of ignoredSignals) process.on(signal, ignored);
}

/** What Node.js warns of goes there, in place of its own text on standard error. */
export function routeWarnings(to: (warning: Error) => void): void {
	onWarning = to;
}

/** pgrep(1) and top(1) show it. Of the main thread alone, and without process.title, which would overwrite the arguments in ps(1). */
function name(): void {
	try {
		writeFileSync('/proc/self/comm', 'toascope');
	} catch {
		// /proc is read-only, or not there
		process.title = 'toascope';
	}
}
