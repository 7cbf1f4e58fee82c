// SPDX-License-Identifier: Apache-2.0
/**
 * Attached means asked, once a second: programs, pins and the file of the Unix socket. Besides each collection, and not in it:
 * one that takes long is not to hide that nothing is seen.
 */
import { type AttachmentReport, missingReasons } from '../capture/attachment_check.ts';
import type { Provider } from '../capture/provider.ts';
import type { SocketFile } from '../http/unix_socket.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import type { Endpoints } from './endpoints.ts';
import type { Readiness } from './readiness.ts';

export interface AttachmentTaskOptions {
	readonly provider: Provider;
	readonly readiness: Readiness;
	readonly endpoints: Endpoints;
	readonly log: LogSink;
	/** http.socket; undefined: off. */
	readonly socket: string | undefined;
}

export class AttachmentTask {
	/** Undefined while the daemon listens on no Unix socket. */
	socketFile: SocketFile | undefined;
	readonly #options: AttachmentTaskOptions;
	#socketFilesLost = 0n;

	constructor(options: AttachmentTaskOptions) {
		this.#options = options;
	}

	run(): void {
		const { provider, readiness } = this.#options;
		provider.checkAttachments();
		const { missing } = provider.attachments;
		for (const reason of missingReasons) {
			const found = missing.find((each) => each.reason === reason);
			if (found === undefined) readiness.clear(reason);
			else readiness.set(reason, found.text);
		}
		this.#checkSocketFile();
	}

	#checkSocketFile(): void {
		const file = this.socketFile?.state() ?? 'ours';
		if (file === 'ours') return;
		const { socket, log, endpoints } = this.#options;
		this.socketFile = undefined;
		this.#socketFilesLost++;
		tell(log, logLines.socketFileLost, { socket, file });
		endpoints.reopen('socket', `the file of the Unix socket ${socket} was ${file}`);
	}

	/** What the latest run found; what was lost includes the file of the socket. */
	get report(): AttachmentReport {
		const { provider, socket } = this.#options;
		const { attachments } = provider;
		const sockets = socket === undefined ? {} : { http_socket: this.#socketFilesLost };
		return { ...attachments, lost: { ...attachments.lost, ...sockets } };
	}

	get allAttached(): boolean {
		return this.#options.provider.attachments.programs.every(({ attached }) => attached);
	}
}
