// SPDX-License-Identifier: Apache-2.0
/**
 * Checks once a second whether everything is attached: programs, pins and the Unix socket file. It
 * is separate from the collection because a collection that takes long must not hide that
 * connections are missed.
 */
import { type AttachmentReport, type MissingAttachment, missingReasons } from '../capture/attachment_report.ts';
import type { Provider } from '../capture/provider.ts';
import type { SocketFile } from '../http/unix_socket.ts';
import { LogLimit, type LogSink } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
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
	/** Called when a check between the scheduled ones fails. */
	readonly onFailure: (error: unknown) => void;
	/** Monotonic, in milliseconds. */
	readonly nowMs?: () => number;
}

/** Reasons that the state of the programs does not show. */
const notAttached: readonly MissingAttachment['reason'][] = [
	'attachments_unknown',
	'module_missing',
	'module_parameters',
	'module_switched_off',
];

export class AttachmentTask {
	/** Undefined while the daemon does not listen on a Unix socket. */
	socketFile: SocketFile | undefined;
	readonly #options: AttachmentTaskOptions;
	readonly #limit: LogLimit;
	readonly #nowMs: () => number;
	#socketFilesLost = 0n;
	/** When the latest check ended. */
	#checkedMs: number;

	/** Marks the daemon as not ready until the first run succeeds. */
	constructor(options: AttachmentTaskOptions) {
		this.#options = options;
		this.#limit = new LogLimit(options.log);
		this.#nowMs = options.nowMs ?? (() => performance.now());
		this.#checkedMs = this.#nowMs();
		options.readiness.set('attachments_unknown', 'waiting for the first check of the attachments');
	}

	/**
	 * Throws if the check throws; the reasons not to be ready are updated from its report even
	 * then.
	 */
	run(): void {
		try {
			this.#options.provider.checkAttachments(() => this.#changed());
		} finally {
			this.#checkedMs = this.#nowMs();
			this.#report();
			this.#checkSocketFile();
		}
	}

	/** Runs a check between the scheduled ones. */
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

	/** Sets a reason not to be ready if the latest check is too old. */
	checkAge(): void {
		if (!this.#isStale) return;
		const text = `the attachments have not been checked for ${staleMs / 1000} s`;
		this.#options.readiness.set('attachments_unknown', text);
	}

	#checkSocketFile(): void {
		const file = this.socketFile?.state() ?? 'ours';
		if (file === 'ours') return;
		const { socket, endpoints } = this.#options;
		this.socketFile = undefined;
		this.#socketFilesLost++;
		this.#limit.log(`socket ${file}`, logLines.socketFileLost, { socket, file });
		endpoints.reopen('socket', `the Unix socket file ${socket} was ${file}`);
	}

	/** What the latest run found; `lost` includes the socket file. */
	get report(): AttachmentReport {
		const { provider, socket } = this.#options;
		const { attachments } = provider;
		const sockets = socket === undefined ? {} : { http_socket: this.#socketFilesLost };
		return { ...attachments, lost: { ...attachments.lost, ...sockets } };
	}

	/** Also false if the state is not known, and if toa.ko does not decide by the configuration. */
	get allAttached(): boolean {
		const { programs, missing } = this.#options.provider.attachments;
		return (
			!this.#isStale &&
			!missing.some(({ reason }) => notAttached.includes(reason)) &&
			programs.every(({ attached }) => attached)
		);
	}
}
