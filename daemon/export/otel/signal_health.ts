// SPDX-License-Identifier: Apache-2.0
/** Counts what becomes of a signal's requests, and logs when they begin to fail and to succeed. */
import type { Logger } from 'pino';
import { logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';
import type { OtelSignal } from '../../otel_environment.ts';
import { withoutPassword } from '../../secrets.ts';
import type { OtlpStatistics } from '../daemon_points.ts';
import type { Outcome } from './receiver.ts';

/** A failure or a rejection. */
interface Trouble {
	/** Unix milliseconds; of failures without a success in between, that of the first. */
	readonly atMs: number;
	readonly message: string;
}

export class SignalHealth {
	readonly #signal: OtelSignal;
	readonly #url: string;
	readonly #logger: Logger;
	#exported = 0n;
	#rejected = 0n;
	#failedRequests = 0n;
	#failing: Trouble | undefined;
	#rejection: Trouble | undefined;
	#succeededAtMs: number | undefined;

	constructor(signal: OtelSignal, url: string, logger: Logger) {
		this.#signal = signal;
		this.#url = withoutPassword(url);
		this.#logger = logger;
	}

	/** Records the outcome of a request with so many items. Returns how many were accepted. */
	record(items: number, { error, rejected: reported, message }: Outcome): number {
		if (error !== undefined) {
			this.#failedRequests++;
			if (this.#failing === undefined) {
				logLine(this.#logger, logLines.otlpFailing, { signal: this.#signal, url: this.#url, err: error });
			}
			this.#failing = { atMs: this.#failing?.atMs ?? Date.now(), message: error.message };
			return 0;
		}
		const rejected = Math.min(Math.max(reported, 0), items);
		if (this.#failing !== undefined) {
			logLine(this.#logger, logLines.otlpSucceeding, { signal: this.#signal, url: this.#url });
			this.#failing = undefined;
		}
		if (rejected > 0 || message !== '') this.#recordRejection(rejected, message);
		this.#succeededAtMs = Date.now();
		this.#rejected += BigInt(rejected);
		this.#exported += BigInt(items - rejected);
		return items - rejected;
	}

	/** A receiver tends to give the same reason with each request. */
	#recordRejection(rejected: number, message: string): void {
		if (this.#rejection?.message !== message) {
			logLine(this.#logger, logLines.otlpRejected, { signal: this.#signal, url: this.#url, rejected, reason: message });
		}
		this.#rejection = { atMs: Date.now(), message };
	}

	statistics(): OtlpStatistics {
		return {
			signal: this.#signal,
			exported: this.#exported,
			rejected: this.#rejected,
			failedRequests: this.#failedRequests,
		};
	}

	/** For `/v1/status`. */
	status(): OtlpStatus {
		return {
			...this.statistics(),
			url: this.#url,
			succeededAtMs: this.#succeededAtMs,
			failing: this.#failing,
			rejection: this.#rejection,
		};
	}
}

export interface OtlpStatus extends OtlpStatistics {
	/** Without a password. */
	readonly url: string;
	/** When the receiver last accepted a request (Unix milliseconds). */
	readonly succeededAtMs: number | undefined;
	/** The latest failure; undefined: the latest request was accepted. */
	readonly failing: Trouble | undefined;
	/** The latest partial success. */
	readonly rejection: Trouble | undefined;
}
