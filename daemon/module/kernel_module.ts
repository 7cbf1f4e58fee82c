// SPDX-License-Identifier: Apache-2.0
/** toa.ko as what reads the options: loaded and seen at work before anything is built upon it. */
import type { OptionReader } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import { readEvents } from './counters.ts';
import { loadModule } from './load.ts';
import { readLoaded } from './loaded.ts';
import { Parameters } from './parameters.ts';
import { removeModule } from './unload.ts';
import { verifyModule } from './verify.ts';

export class KernelModule implements OptionReader {
	readonly name = 'module';
	readonly #parameters = new Parameters();
	readonly #log: LogSink;
	/** It was not there before. */
	readonly #ours: boolean;

	private constructor(ours: boolean, log: LogSink) {
		this.#ours = ours;
		this.#log = log;
	}

	/**
	 * Builds it where none fits this kernel, loads it where it is not loaded, and checks what it does.
	 * `inUse`: programs that a daemon left hang on it, so that it works, and a connection to check it would be counted.
	 * @throws {ToascopeError} the MODULE_ codes, NO_PRIVILEGE, MISSING_TOOL
	 */
	static async open(config: Config, log: LogSink, inUse: boolean): Promise<KernelModule> {
		const how = await loadModule(config);
		const module = new KernelModule(how === 'loaded', log);
		try {
			module.apply(config);
			if (!inUse) verifyModule(config);
		} catch (error) {
			module.close(false);
			throw error;
		}
		const { version, srcversion } = readLoaded() ?? {};
		tell(log, logLines.moduleLoaded, { how, version, srcversion });
		return module;
	}

	apply(config: Config): void {
		this.#parameters.apply(config);
	}

	events(): Readonly<Record<string, bigint>> {
		return readEvents();
	}

	/** One that was loaded before stays. */
	close(keep: boolean): void {
		if (keep || !this.#ours) return;
		try {
			removeModule();
		} catch (err) {
			tell(this.#log, logLines.moduleKept, { err });
		}
	}
}
