// SPDX-License-Identifier: Apache-2.0
/** Runs the command `toascope` until it ends. */
import { type ChildProcess, spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { main } from './daemon.ts';

export interface CommandResult {
	/** Exit code, or the signal that ended it. */
	readonly code: number | string | null;
	readonly out: string;
	readonly err: string;
}

export interface CommandOptions {
	readonly env?: Readonly<Record<string, string>>;
	/** A command that starts it, such as `setpriv` with its options. */
	readonly by?: readonly string[];
	/** `act` is called once, when standard error contains `output`. */
	readonly when?: { readonly output: string; readonly act: (child: ChildProcess) => void };
}

/** Resolves with its output and how it ended. */
export async function toascope(
	args: readonly string[],
	{ env = {}, by = [], when }: CommandOptions = {},
): Promise<CommandResult> {
	const [command = '', ...rest] = [...by, process.execPath, main, ...args];
	const child = spawn(command, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
	if (when !== undefined) {
		let output = '';
		const onData = (chunk: Buffer) => {
			output += chunk;
			if (!output.includes(when.output)) return;
			child.stderr.off('data', onData);
			when.act(child);
		};
		child.stderr.on('data', onData);
	}
	const ended = new Promise<number | string | null>((resolve, reject) => {
		child.once('error', reject);
		child.once('exit', (code, signal) => resolve(code ?? signal));
	});
	const [code, out, err] = await Promise.all([ended, text(child.stdout), text(child.stderr)]);
	return { code, out, err };
}
