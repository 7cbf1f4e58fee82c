// SPDX-License-Identifier: Apache-2.0
/**
 * Attached means asked, once a second: programs, pins and the file of the Unix socket. Besides each collection, and not in it:
 * one that takes long is not to hide that nothing is seen.
 */
import { type AttachmentReport, type Missing, missingReasons } from '../capture/attachment_check.ts';
import type { Provider } from '../capture/provider.ts';
import type { SocketFile } from '../http/unix_socket.ts';
import { LogLimit, type LogSink, logLines } from '../log_lines.ts';
import { staleMs } from './cadence.ts';
import type { Endpoints } from './endpoints.ts';
import type { Readiness } from './readiness.ts';

export interface AttachmentTaskOptions {
	readonly provider: Provider;
	readonly readiness: Readiness;
	readonly endpoints: Endpoints;
	readonly log: LogSink;
	/** http.socket; undefined: off. */
	readonly socket: string | undefined;
	/** Told of a check between the others that failed. */
	readonly onFailure: (error: unknown) => void;
	/** Milliseconds that only grow. */
	readonly nowMs?: () => number;
}

/** Those that the state of the programs does not show. */
const notAttached: readonly Missing['reason'][] = [
	'attachments_unknown',
	'module_missing',
	'module_parameters',
	'module_switched_off',
];

export class AttachmentTask {
	/** Undefined while the daemon listens on no Unix socket. */
	socketFile: SocketFile | undefined;
	readonly #options: AttachmentTaskOptions;
	readonly #limit: LogLimit;
	readonly #nowMs: () => number;
	#socketFilesLost = 0n;
	/** When the latest check ended. */
	#checkedMs: number;

	/** Not ready from now on, until a check has succeeded. */
	constructor(options: AttachmentTaskOptions) {
		this.#options = options;
		this.#limit = new LogLimit(options.log);
		this.#nowMs = options.nowMs ?? (() => performance.now());
		this.#checkedMs = this.#nowMs();
		options.readiness.set('attachments_unknown', 'the first check of the attachments is awaited');
	}

	/** Throws where the check does; the reasons not to be ready are those of its report all the same. */
	run(): void {
		try {
			this.#options.provider.checkAttachments(() => this.#changed());
		} finally {
			this.#checkedMs = this.#nowMs();
			this.#report();
			this.#checkSocketFile();
		}
	}

	/** A check between the others. */
	#changed(): void {
		try {
			this.run();
		} catch (error) {
			this.#options.onFailure(error);
		}
	}

	#report(): void {
		const { provider, readiness } = this.#options;
		const { missing } = provider.attachments;
		for (const reason of missingReasons) {
			const found = missing.find((each) => each.reason === reason);
			if (found === undefined) readiness.clear(reason);
			else readiness.set(reason, found.text);
		}
	}

	get #isStale(): boolean {
		return this.#nowMs() - this.#checkedMs > staleMs;
	}

	/** Not ready any more where the latest check is too long ago. */
	checkAge(): void {
		if (!this.#isStale) return;
		const text = `the attachments were not checked for ${staleMs / 1000} s`;
		this.#options.readiness.set('attachments_unknown', text);
	}

	#checkSocketFile(): void {
		const file = this.socketFile?.state() ?? 'ours';
		if (file === 'ours') return;
		const { socket, endpoints } = this.#options;
		this.socketFile = undefined;
		this.#socketFilesLost++;
		this.#limit.tell(`socket ${file}`, logLines.socketFileLost, { socket, file });
		endpoints.reopen('socket', `the file of the Unix socket ${socket} was ${file}`);
	}

	/** What the latest run found; what was lost includes the file of the socket. */
	get report(): AttachmentReport {
		const { provider, socket } = this.#options;
		const { attachments } = provider;
		const sockets = socket === undefined ? {} : { http_socket: this.#socketFilesLost };
		return { ...attachments, lost: { ...attachments.lost, ...sockets } };
	}

	/** False also where it is not known, and where toa.ko does not decide by the configuration. */
	get allAttached(): boolean {
		const { programs, missing } = this.#options.provider.attachments;
		return (
			!this.#isStale &&
			!missing.some(({ reason }) => notAttached.includes(reason)) &&
			programs.every(({ attached }) => attached)
		);
	}
}
