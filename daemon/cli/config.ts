// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope config check FILE`: reports what is wrong with a file, or how it differs from the
 * defaults. The environment is ignored.
 */
import type { Change } from '../config/config.ts';
import { changes } from '../config/config.ts';
import { defaultConfig, loadConfig } from '../config/load.ts';
import { ConfigError, formatProblem } from '../config/problem.ts';
import { keys } from '../config/schema.ts';
import { exitCode, ToascopeError } from '../errors.ts';

export interface CheckOutput {
	readonly json: boolean;
	/** Receives whole lines. */
	readonly write: (text: string) => void;
}

/**
 * Writes `FILE: ok` and the differences from the defaults, or every problem on a line of its own.
 * Returns the exit code.
 * @throws {ToascopeError} CONFIG_UNREADABLE, unless the output is JSON
 */
export function checkConfig(file: string, output: CheckOutput): number {
	try {
		const found = changes(defaultConfig(), loadConfig({ path: file, env: {} }));
		const differences = found.map(({ key, from, to }) => ({ key, value: to, default: from }));
		output.write(
			output.json ? json({ file, ok: true, differences }) : `${file}: ok\n${found.map(formatChange).join('')}`,
		);
		return exitCode.done;
	} catch (error) {
		if (!(error instanceof ToascopeError)) throw error;
		if (!(error instanceof ConfigError) && !output.json) throw unreadable(error);
		const { code, message, exitCode: exit } = error;
		const problems = error instanceof ConfigError ? error.problems : [];
		const lines = problems.map(formatProblem).join('\n');
		output.write(output.json ? json({ file, ok: false, code, message, problems }) : `${lines}\n`);
		return exit;
	}
}

/**
 * The error as other commands report it, but without the hint to use --config: this one has no such
 * option.
 */
function unreadable({ code, message, hint, cause }: ToascopeError): ToascopeError {
	const isMissing = (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
	return new ToascopeError(code, message, { hint: isMissing ? 'name a file that exists' : (hint ?? ''), cause });
}

function json(value: unknown): string {
	return `${JSON.stringify(value, undefined, 2)}\n`;
}

function formatChange({ key, from, to }: Change): string {
	// a default of null depends on something else: the table of keys says on what
	const otherwise = from === null ? keys.find(({ path }) => path === key)?.defaultText?.replaceAll('`', '') : undefined;
	return `  ${key}: ${show(to)} (default: ${otherwise ?? show(from)})\n`;
}

function show(value: unknown): string {
	if (value === null) return 'none';
	return typeof value === 'string' ? value : JSON.stringify(value);
}
