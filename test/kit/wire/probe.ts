// SPDX-License-Identifier: Apache-2.0
/** What an application sees: apps/probe.c, a C server in the lab that makes calls on command. */
import type { ChildProcess } from 'node:child_process';
import { getSystemErrorName } from 'node:util';
import type { Lab } from '../../../daemon/lab/lab.ts';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';
import { compile } from '../kernel/c_program.ts';
import { spawnIn } from '../kernel/cgroup.ts';

/** `4`: AF_INET. `dual`: AF_INET6 that also accepts IPv4. `6`: AF_INET6 that does not. */
export type ListenerKind = '4' | 'dual' | '6';

/** An address as accept() or getpeername() returned it. */
export interface Peer {
	/** AF_INET is 2, AF_INET6 is 10. */
	readonly family: number;
	/** Length of the address structure, in bytes. */
	readonly length: number;
	readonly address: string;
	readonly port: number;
}

/** The result of a getsockopt(). */
export interface OptionResult {
	readonly result: number;
	/** Name of errno, empty on success. */
	readonly error: string;
	/** The length that the call returned. */
	readonly length: number;
	/** The whole buffer after the call. */
	readonly bytes: Buffer;
}

/** The value of each byte of a buffer before the call. */
export const fill = 0xa5;

interface Answer {
	readonly result: number;
	readonly errno: number;
}

export class Probe {
	readonly #child: ChildProcess;
	readonly port: number;
	readonly #waiting: ((answer: unknown) => void)[] = [];

	private constructor(child: ChildProcess, port: number) {
		this.#child = child;
		this.port = port;
	}

	/**
	 * Starts a probe in the server's namespace and, if given, in the cgroup of that directory. It
	 * ends with the lab.
	 */
	static async start(lab: Lab, kind: ListenerKind, port: number, cgroup?: string): Promise<Probe> {
		const command = [compile('probe'), kind, String(port)] as const;
		const child =
			cgroup === undefined
				? lab.spawn('server', command[0], command.slice(1), { stdio: 'pipe' })
				: spawnIn(lab, cgroup, command);
		const probe = new Probe(child, port);
		await untilReady(child, 'probe', isReadyLine, (answer) => probe.#waiting.shift()?.(answer));
		return probe;
	}

	get pid(): number {
		return this.#child.pid ?? 0;
	}

	#command<T>(text: string): Promise<T> {
		return new Promise((resolve) => {
			this.#waiting.push((answer) => resolve(answer as T));
			this.#child.stdin?.write(`${text}\n`);
		});
	}

	async #do(text: string): Promise<number> {
		const { result, errno } = await this.#command<Answer>(text);
		if (result < 0) throw new Error(`${text}: ${getSystemErrorName(-errno)}`);
		return result;
	}

	/** Waits for a connection, to which the following calls apply. */
	accept(): Promise<Peer> {
		return this.#command('accept');
	}

	/** Waits for a connection; accept() gets no address buffer. */
	acceptSilently(): Promise<number> {
		return this.#do('accept-silently');
	}

	/** Waits for data and returns its length; 0 at the end of the stream. */
	read(): Promise<number> {
		return this.#do('read');
	}

	getpeername(): Promise<Peer> {
		return this.#command('getpeername');
	}

	/** `room` is the size of the buffer in bytes, `length` the length passed to the call. */
	async getsockopt(level: number, name: number, length: number, room = Math.max(length, 0)): Promise<OptionResult> {
		const answer = await this.#command<Answer & { length: number; bytes: string }>(
			`getsockopt ${level} ${name} ${length} ${room}`,
		);
		return {
			result: answer.result,
			error: answer.errno === 0 ? '' : getSystemErrorName(-answer.errno),
			length: answer.length,
			bytes: Buffer.from(answer.bytes, 'hex'),
		};
	}

	/** Attaches a socket filter of this many instructions. */
	filter(instructions: number): Promise<number> {
		return this.#do(`filter ${instructions}`);
	}

	/** From now on the calls apply to a Unix socket whose peer is in this many groups. */
	groups(count: number): Promise<number> {
		return this.#do(`groups ${count}`);
	}

	closeConnection(): Promise<number> {
		return this.#do('close');
	}

	async [Symbol.asyncDispose](): Promise<void> {
		await stop(this.#child);
	}
}
