// SPDX-License-Identifier: Apache-2.0
/** `toascope config check FILE`: what is wrong with a file, or what it changes. The environment has no part in it. */
import type { Change } from '../config/config.ts';
import { changes } from '../config/config.ts';
import { defaultConfig, loadConfig } from '../config/load.ts';
import { ConfigError, formatProblem } from '../config/problem.ts';
import { keys } from '../config/schema.ts';
import { exitCode, ToascopeError } from '../errors.ts';

export interface CheckOutput {
	readonly json: boolean;
	/** Takes whole lines. */
	readonly write: (text: string) => void;
}

/** Writes `FILE: ok` and the differences from the defaults, or every problem on a line of its own. Gives the exit code. */
export function configCheck(file: string, output: CheckOutput): number {
	try {
		const found = changes(defaultConfig(), loadConfig({ path: file, env: {} }));
		const differences = found.map(({ key, from, to }) => ({ key, value: to, default: from }));
		output.write(
			output.json ? json({ file, ok: true, differences }) : `${file}: ok\n${found.map(formatChange).join('')}`,
		);
		return exitCode.done;
	} catch (error) {
		if (!(error instanceof ToascopeError)) throw error;
		const { code, message } = error;
		const problems = error instanceof ConfigError ? error.problems : [];
		const lines = error instanceof ConfigError ? problems.map(formatProblem).join('\n') : message;
		output.write(output.json ? json({ file, ok: false, code, message, problems }) : `${lines}\n`);
		// a file that is missing is as wrong an argument as one that holds nonsense
		return exitCode.usage;
	}
}

function json(value: unknown): string {
	return `${JSON.stringify(value, undefined, 2)}\n`;
}

function formatChange({ key, from, to }: Change): string {
	// null is what something else decides: the table of keys says what
	const otherwise = from === null ? keys.find(({ path }) => path === key)?.otherwise?.replaceAll('`', '') : undefined;
	return `  ${key}: ${show(to)} (default: ${otherwise ?? show(from)})\n`;
}

function show(value: unknown): string {
	if (value === null) return 'none';
	return typeof value === 'string' ? value : JSON.stringify(value);
}
