// SPDX-License-Identifier: Apache-2.0
/**
 * Sets TCP_SAVE_SYN (tcp(7)) on existing listeners while a profile expects options on the SYN, so
 * that the kernel keeps the SYNs of their connections. The sockops program sets it on new ones when
 * they begin to listen.
 */

import type { BpfObject, NativeError } from '../../native/binding.ts';
import type { Config } from '../config/config.ts';
import { includesPort } from '../config/ports.ts';
import { ownNetns } from '../host/netns.ts';
import { hostPidNamespaceHint } from '../host/pid_namespace.ts';
import { LogLimit, type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import type { Listening, ListeningSockets } from './listening.ts';

export class SavedSyns {
	readonly #bpf: BpfObject;
	readonly #sockets: ListeningSockets;
	readonly #log: LogSink;
	readonly #limit: LogLimit;
	readonly #reachable: boolean;
	#wanted: ((listening: Listening) => boolean) | undefined;
	/** The refusals that are in the log, by code. */
	#refused = '';

	/** `reachable` false: the process IDs here differ from the kernel's (pid_namespace.ts). */
	constructor(bpf: BpfObject, sockets: ListeningSockets, log: LogSink, reachable: boolean) {
		this.#bpf = bpf;
		this.#sockets = sockets;
		this.#log = log;
		this.#limit = new LogLimit(log);
		this.#reachable = reachable;
	}

	/**
	 * Applies a configuration. TCP_SAVE_SYN that an application set itself is left unchanged. If
	 * this throws, listeners are left unchanged, now and later.
	 */
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
	 * Sets TCP_SAVE_SYN again on listeners that lack it, because they did not get it when they
	 * began to listen, or because another process reset it. Returns how many. The log reports it at
	 * most once a minute: a server that resets it at each of its listeners would flood the log.
	 */
	check(): number {
		if (this.#wanted === undefined || this.#sockets.refused !== '' || !this.#reachable) return 0;
		const listeners = this.#set();
		if (listeners > 0) this.#limit.log('again', logLines.saveSynRestored, { listeners });
		return listeners;
	}

	/** Restores every listener to its original setting. */
	release(): void {
		const kept = this.#wanted !== undefined;
		this.#wanted = undefined;
		if (kept) this.#set();
	}

	/** Returns on how many listeners the option was changed. */
	#set(): number {
		const { refused: unreadable } = this.#sockets;
		if (unreadable !== '') {
			if (this.#wanted !== undefined) {
				logLine(this.#log, logLines.synsNotSaved, { code: unreadable, hint: 'restart these servers' });
			}
			return 0;
		}
		// pidfd_open() would interpret the kernel's process ID in this namespace: the socket of
		// another process
		if (!this.#reachable) {
			const hint = `${hostPidNamespaceHint}, or restart these servers`;
			if (this.#wanted !== undefined) logLine(this.#log, logLines.synsNotSaved, { code: 'PID_NAMESPACE', hint });
			return 0;
		}
		const refused = new Map<string, number>();
		let changed = 0;
		for (const listening of this.#sockets.read()) {
			const { owner, fd, savesSyns, savedByUs } = listening;
			const keep = this.#wanted?.(listening) === true;
			if (keep ? savesSyns : !savedByUs) continue;
			try {
				this.#bpf.setSaveSyn(owner.pid, fd, keep);
				changed++;
			} catch (error) {
				const { code } = error as NativeError;
				// the process has closed the socket, or has exited, since the walk
				if (code === 'ESRCH' || code === 'EBADF') continue;
				refused.set(code, (refused.get(code) ?? 0) + 1);
			}
		}
		this.#logRefused(refused);
		return changed;
	}

	/**
	 * Logs refusals when they differ from the previous ones; their number changes with each server
	 * that starts.
	 */
	#logRefused(refused: ReadonlyMap<string, number>): void {
		const now = [...refused].join();
		if (now === this.#refused) return;
		this.#refused = now;
		for (const [code, listeners] of refused) {
			const hint =
				code === 'EPERM'
					? 'access to the sockets of other processes requires CAP_SYS_PTRACE: restart these servers, or give it to toascope'
					: 'restart these servers';
			this.#limit.log(`refused ${code}`, logLines.synsNotSaved, { code, listeners, hint });
		}
	}
}
