// SPDX-License-Identifier: Apache-2.0
/** The configuration in force, and how the latest reload went. */
import { type Config, changedRestartKeys } from '../config/config.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { type Reload, reloaded, shownChanges } from './reload.ts';

export class ActiveConfig {
	#current: Config;
	#reload: Reload = { successful: true, successAtMs: Date.now(), attempts: 0, error: undefined, restartKeys: [] };
	readonly #log: LogSink;

	constructor(config: Config, log: LogSink) {
		this.#current = config;
		this.#log = log;
	}

	get current(): Config {
		return this.#current;
	}

	/** How the latest reload went. */
	get reload(): Reload {
		return this.#reload;
	}

	/**
	 * Replaces what a reload can change. `apply` puts the result in force. If `read` or `apply`
	 * throws, everything stays as it was.
	 */
	replace(read: () => Config, apply: (config: Config) => void): void {
		const attempts = this.#reload.attempts + 1;
		try {
			const next = read();
			const restartKeys = changedRestartKeys(this.#current, next);
			const merged = reloaded(this.#current, next);
			const changed = shownChanges(this.#current, merged);
			apply(merged);
			this.#current = merged;
			this.#reload = { successful: true, successAtMs: Date.now(), attempts, error: undefined, restartKeys };
			logLine(this.#log, logLines.reloaded, { changed });
			if (restartKeys.length > 0) logLine(this.#log, logLines.restartKeys, { keys: restartKeys });
		} catch (err) {
			this.#reload = { ...this.#reload, successful: false, attempts, error: err };
			logLine(this.#log, logLines.reloadFailed, { err });
		}
	}
}
