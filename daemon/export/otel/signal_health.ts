// SPDX-License-Identifier: Apache-2.0
/** Counts what becomes of a signal's requests, and logs when they begin to fail and to succeed. */
import type { Logger } from 'pino';
import { LogLimit, logLine } from '../../log_line.ts';
import { logLines } from '../../log_lines.ts';
import type { OtelSignal } from '../../otel_environment.ts';
import { withoutSecrets } from '../../secrets.ts';
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
	/** A receiver that rejects does so with each request. */
	readonly #limit: LogLimit;
	#exported = 0n;
	#rejected = 0n;
	#failedRequests = 0n;
	#failing: Trouble | undefined;
	#rejection: Trouble | undefined;
	#succeededAtMs: number | undefined;

	constructor(signal: OtelSignal, url: string, logger: Logger) {
		this.#signal = signal;
		this.#url = withoutSecrets(url);
		this.#logger = logger;
		this.#limit = new LogLimit(logger);
	}

	/** Counts the outcome of a request with so many items. Returns how many were accepted. */
	count(items: number, { error, rejected: reported, message }: Outcome): number {
		if (error !== undefined) {
			this.#failedRequests++;
			return 0;
		}
		const rejected = Math.min(Math.max(reported, 0), items);
		if (rejected > 0 || message !== '') this.#recordRejection(rejected, message);
		this.#succeededAtMs = Date.now();
		this.#rejected += BigInt(rejected);
		this.#exported += BigInt(items - rejected);
		return items - rejected;
	}

	/** Logs when the requests of an export begin to fail, and when all of them are accepted again. */
	settle(error: Error | undefined): void {
		const fields = { signal: this.#signal, url: this.#url };
		if (error !== undefined) {
			if (this.#failing === undefined) logLine(this.#logger, logLines.otlpFailing, { ...fields, err: error });
			this.#failing = { atMs: this.#failing?.atMs ?? Date.now(), message: error.message };
		} else if (this.#failing !== undefined) {
			logLine(this.#logger, logLines.otlpSucceeding, fields);
			this.#failing = undefined;
		}
	}

	/** The latest request was not accepted. */
	get isFailing(): boolean {
		return this.#failing !== undefined;
	}

	#recordRejection(rejected: number, reason: string): void {
		const fields = { signal: this.#signal, url: this.#url, rejected, reason };
		this.#limit.log('rejected', logLines.otlpRejected, fields);
		this.#rejection = { atMs: Date.now(), message: reason };
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
