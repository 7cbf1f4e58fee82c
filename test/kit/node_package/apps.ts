// SPDX-License-Identifier: Apache-2.0
/** The programs of apps/, which run on each supported Node. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const directory = join(import.meta.dirname, 'apps');
export const serversProgram = join(directory, 'servers.mjs');
const clientProgram = join(directory, 'client.mjs');

/** The kinds of servers, and how the client speaks with each. */
export const kinds = {
	net: 'net',
	greeting: 'greeting',
	tls: 'tls',
	http: 'http',
	https: 'https',
	h2c: 'h2c',
	h2: 'h2',
	h2stream: 'h2c',
	thread: 'http',
	cluster: 'http',
} as const;

/** Requests on one connection. */
export interface Target {
	readonly kind: (typeof kinds)[keyof typeof kinds];
	readonly host: string;
	readonly port: number;
	/** The client's address. */
	readonly from?: string;
	readonly path?: string;
	readonly headers?: Readonly<Record<string, string>>;
	/** Default: 1. */
	readonly count?: number;
}

/** A connection as its client made it. */
export interface Made {
	readonly address: string;
	readonly port: number;
	/** What the server answered to each request. */
	readonly replies: readonly string[];
}

/** Starts a program with pipes for its output: in a namespace of the lab, or here. */
export type Start = (command: string, args: readonly string[]) => ChildProcess;

export const startHere: Start = (command, args) => spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });

/** The lines that a program prints. next() rejects if it ends before. */
export class Lines {
	readonly #child: ChildProcess;
	readonly #lines: AsyncIterator<string>;

	constructor(child: ChildProcess) {
		this.#child = child;
		const lines = createInterface({ input: child.stdout as NonNullable<ChildProcess['stdout']> });
		this.#lines = lines[Symbol.asyncIterator]();
	}

	async next(): Promise<string> {
		const { done, value } = await this.#lines.next();
		if (done === true) throw new Error(`${this.#child.spawnargs.slice(-2).join(' ')} ended`);
		return value;
	}

	async json<T>(): Promise<T> {
		return JSON.parse(await this.next()) as T;
	}
}

/** Makes all connections at the same time. Resolves with them in the order of the targets. */
export async function connectAll(start: Start, targets: readonly Target[]): Promise<readonly Made[]> {
	return new Lines(start(process.execPath, [clientProgram, JSON.stringify(targets)])).json();
}
