// SPDX-License-Identifier: Apache-2.0
/**
 * Connections in the lab that a test drives step by step: which end sends, which closes first,
 * which resets.
 */
import type { ChildProcess } from 'node:child_process';
import type { Lab } from '../../../daemon/lab/lab.ts';
import type { NamespaceName } from '../../../daemon/lab/namespaces.ts';
import { isReadyLine, untilReady } from '../../../daemon/lab/process.ts';
import type { ScriptedCommand, ScriptedEvent } from './scripted_process.ts';

const script = new URL('scripted_process.ts', import.meta.url).pathname;

/** One end of a connection. Waiting for something that has already happened resolves at once. */
export interface End {
	readonly address: string;
	readonly port: number;
	readonly peer: string;
	readonly peerPort: number;
	send(bytes: number): void;
	/** Sends a FIN: no more data follows from this end. */
	end(): void;
	/** Sends a RST. */
	reset(): void;
	/** Resolves when this end has received this many payload bytes. */
	received(bytes: number): Promise<void>;
	/** Resolves when this end has received the other end's FIN. */
	ended(): Promise<void>;
	/**
	 * Resolves when this end is closed, for whatever reason, with the number of payload bytes
	 * received.
	 */
	closed(): Promise<number>;
}

/** A process in one of the lab's namespaces that listens and connects. It ends with the lab. */
export class Scripted {
	readonly #child: ChildProcess;
	readonly #events: ScriptedEvent[] = [];
	readonly #watchers = new Set<() => void>();
	#accepted = 0;
	#connected = 0;

	private constructor(child: ChildProcess) {
		this.#child = child;
	}

	/** Starts the process. If a port is given, it listens there on all IPv4 addresses. */
	static async start(lab: Lab, name: NamespaceName, listenPort?: number): Promise<Scripted> {
		const child = lab.spawn(name, process.execPath, [script], { stdio: 'pipe' });
		const scripted = new Scripted(child);
		await untilReady(child, 'scripted process', isReadyLine, (value) => {
			scripted.#events.push(value as ScriptedEvent);
			for (const watch of scripted.#watchers) watch();
		});
		if (listenPort !== undefined) {
			scripted.#command({ do: 'listen', port: listenPort });
			await scripted.#until(({ event }) => event === 'listening');
		}
		return scripted;
	}

	get pid(): number {
		return this.#child.pid ?? 0;
	}

	#command(command: ScriptedCommand): void {
		this.#child.stdin?.write(`${JSON.stringify(command)}\n`);
	}

	/**
	 * Resolves with the event that matches, after `skip` earlier matches. It can have happened
	 * already.
	 */
	#until(matches: (event: ScriptedEvent) => boolean, skip = 0): Promise<ScriptedEvent> {
		return new Promise((resolve) => {
			const check = () => {
				const found = this.#events.filter(matches)[skip];
				if (found === undefined) return;
				this.#watchers.delete(check);
				resolve(found);
			};
			this.#watchers.add(check);
			check();
		});
	}

	async connect(to: { readonly from?: string; readonly to: string; readonly port: number }): Promise<End> {
		const id = `${this.#connected++}`;
		this.#command({ do: 'connect', id, ...to });
		const opened = await this.#until((event) => event.id === id);
		if (opened.event !== 'open') throw new Error(`cannot connect to ${to.to}: ${opened.error}`);
		return this.#end(opened);
	}

	/** Resolves with the next accepted connection. */
	async accepted(): Promise<End> {
		return this.#end(await this.#until(({ event, accepted }) => event === 'open' && accepted, this.#accepted++));
	}

	#end(opened: ScriptedEvent): End {
		const { id, address, port, peer, peerPort } = opened;
		// the id of an accepted connection is its peer, which successive connections can share:
		// only events after this `open` belong to this connection
		const after = (event: ScriptedEvent) =>
			event.id === id && this.#events.indexOf(event) > this.#events.indexOf(opened);
		return {
			address,
			port,
			peer,
			peerPort,
			send: (bytes) => this.#command({ do: 'send', id, bytes }),
			end: () => this.#command({ do: 'end', id }),
			reset: () => this.#command({ do: 'reset', id }),
			received: async (bytes) => void (await this.#until((event) => after(event) && event.received >= bytes)),
			ended: async () => void (await this.#until((event) => after(event) && event.event === 'end')),
			closed: async () => (await this.#until((event) => after(event) && event.event === 'close')).received,
		};
	}
}
