// SPDX-License-Identifier: Apache-2.0
/**
 * Listeners that are there already keep the SYNs of their connections (TCP_SAVE_SYN, tcp(7)) while a
 * profile is looked for there. New ones are told when they begin to listen, by the sockops program.
 */
import type { Config } from '../config/config.ts';
import { includesPort } from '../config/ports.ts';
import { LogLimit, type LogSink, logLines, tell } from '../log_lines.ts';
import type { Listening, ListeningSockets } from './listening.ts';
import type { BpfObject, NativeError } from './native.ts';
import { ownNetns } from './netns.ts';
import { runInHostPids } from './pid_namespace.ts';

export class KeptSyns {
	readonly #bpf: BpfObject;
	readonly #sockets: ListeningSockets;
	readonly #log: LogSink;
	readonly #limit: LogLimit;
	readonly #reachable: boolean;
	#wanted: ((listening: Listening) => boolean) | undefined;
	/** Refusals that the log has told of, by code. */
	#refused = '';

	/** `reachable` false: processes have other numbers here than in the kernel (pid_namespace.ts). */
	constructor(bpf: BpfObject, sockets: ListeningSockets, log: LogSink, reachable: boolean) {
		this.#bpf = bpf;
		this.#sockets = sockets;
		this.#log = log;
		this.#limit = new LogLimit(log);
		this.#reachable = reachable;
	}

	/** What a listener's application set itself stays as it is. Where it throws, listeners are told nothing, now or later. */
	apply({ profiles, listeners }: Config, adopted: boolean): void {
		const wanted = profiles.some(({ onSyn }) => onSyn);
		if (!wanted && this.#wanted === undefined && !adopted) return;
		const netns = listeners.netns === 'host' ? ownNetns() : undefined;
		const isWanted = ({ local, netns: of, transparent }: Listening) =>
			(transparent || includesPort(listeners.ports, local.port)) && (netns === undefined || netns === of);
		const before = this.#wanted;
		this.#wanted = wanted ? isWanted : undefined;
		try {
			this.#set();
		} catch (error) {
			this.#wanted = before;
			throw error;
		}
	}

	/**
	 * Listeners that were not told when they began to listen, or told otherwise since, are told again. Returns how many.
	 * The log says so once a minute: a server that switches it off at each of its listeners would fill it.
	 */
	check(): number {
		if (this.#wanted === undefined || this.#sockets.refused !== '' || !this.#reachable) return 0;
		const listeners = this.#set();
		if (listeners > 0) this.#limit.tell('again', logLines.synsKeptAgain, { listeners });
		return listeners;
	}

	/** Leaves every listener as it was found. */
	release(): void {
		const kept = this.#wanted !== undefined;
		this.#wanted = undefined;
		if (kept) this.#set();
	}

	/** Returns how many listeners were told something. */
	#set(): number {
		const { refused: unreadable } = this.#sockets;
		if (unreadable !== '') {
			if (this.#wanted !== undefined) {
				tell(this.#log, logLines.synsNotKept, { code: unreadable, hint: 'restart these servers' });
			}
			return 0;
		}
		// pidfd_open() would take the kernel's number for one of ours: the socket of another process
		if (!this.#reachable) {
			const hint = `${runInHostPids}, or restart these servers`;
			if (this.#wanted !== undefined) tell(this.#log, logLines.synsNotKept, { code: 'PID_NAMESPACE', hint });
			return 0;
		}
		const refused = new Map<string, number>();
		let told = 0;
		for (const listening of this.#sockets.read()) {
			const { owner, fd, keepsSyns, keptForUs } = listening;
			const keep = this.#wanted?.(listening) === true;
			if (keep ? keepsSyns : !keptForUs) continue;
			try {
				this.#bpf.keepSyns(owner.pid, fd, keep);
				told++;
			} catch (error) {
				const { code } = error as NativeError;
				// it has closed the socket, or is gone, since it was seen
				if (code === 'ESRCH' || code === 'EBADF') continue;
				refused.set(code, (refused.get(code) ?? 0) + 1);
			}
		}
		this.#tellRefused(refused);
		return told;
	}

	/** Where it is others than before that are refused; their number changes with each server that starts. */
	#tellRefused(refused: ReadonlyMap<string, number>): void {
		const now = [...refused].join();
		if (now === this.#refused) return;
		this.#refused = now;
		for (const [code, listeners] of refused) {
			const hint =
				code === 'EPERM'
					? 'reaching the sockets of other processes takes CAP_SYS_PTRACE: restart these servers, or give it to toascope'
					: 'restart these servers';
			this.#limit.tell(`refused ${code}`, logLines.synsNotKept, { code, listeners, hint });
		}
	}
}
