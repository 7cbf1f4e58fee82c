// SPDX-License-Identifier: Apache-2.0
/** A server that knows nothing of TOA: its description, and how to start it. */
import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import type { Listener } from '../wire/toa_stage.ts';

export interface Application {
	/** The name in docs/applications.md. */
	readonly name: string;
	/** The program that this machine must have. */
	readonly program: string;
	/** How an operator configures each kind of listener. */
	readonly listens: Readonly<Record<Listener, string>>;
	/** What its log contains. */
	readonly logs: string;
	/** What else an operator should know; a sentence. */
	readonly note?: string;
	/** It calls accept4() without a buffer for the address. */
	readonly acceptsSilently?: boolean;
	/** Its log contains a.b.c.d where getpeername() returns ::ffff:a.b.c.d. */
	readonly logsUnmapped?: boolean;
	/** It starts processes of its own, which would outlive it. */
	readonly forks?: boolean;
	version(program: string): string;
	/**
	 * The command that starts it. Its access log is the file `log`, with one line `ADDRESS PORT
	 * PID` for each request.
	 */
	command(options: CommandOptions): Promise<readonly string[]> | readonly string[];
}

export interface CommandOptions {
	readonly program: string;
	readonly listener: Listener;
	readonly port: number;
	/** A directory for this process only. */
	readonly directory: string;
	readonly log: string;
}

/**
 * The path of the program; undefined if this machine does not have it. Also searches /usr/sbin,
 * which PATH can lack.
 */
export function findProgram(name: string): string | undefined {
	if (name.startsWith('/')) return name;
	return [...(process.env.PATH ?? '').split(':'), '/usr/sbin']
		.map((folder) => join(folder, name))
		.find((file) => {
			try {
				accessSync(file, constants.X_OK);
				return true;
			} catch {
				return false;
			}
		});
}
