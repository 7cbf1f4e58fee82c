// SPDX-License-Identifier: Apache-2.0
/** toa.ko as the option reader: loaded and verified before anything depends on it. */
import type { OptionReader, ReaderReport } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { readEvents } from './counters.ts';
import { HostLock } from './host_lock.ts';
import { loadModule } from './load.ts';
import { readLoaded } from './loaded.ts';
import { ModuleCheck } from './module_check.ts';
import { Parameters, type ShownParameters, unsupportedProfiles } from './parameters.ts';
import { removeModule } from './unload.ts';
import { verifyModule } from './verify.ts';

export class KernelModule implements OptionReader {
	readonly name = 'module';
	readonly #parameters = new Parameters();
	readonly #log: LogSink;
	readonly #check: ModuleCheck;
	#lock: HostLock;
	/** The configuration in force; a reload replaces it. */
	#config: Config;
	/** Undefined until close() is called, then its argument `keep`. */
	#closedKeep: boolean | undefined;
	/** Profiles with unsupported features that the log has already reported. */
	#reportedProfiles = '';
	/**
	 * Parameters that were in force before. Undefined: the module was not loaded, so this daemon
	 * unloads it at the end. Set anew when the module is loaded again.
	 */
	#previous: ShownParameters | undefined;

	private constructor(config: Config, loaded: boolean, lock: HostLock, log: LogSink) {
		this.#config = config;
		this.#lock = lock;
		this.#previous = this.#readPrevious(loaded);
		this.#log = log;
		const checked = {
			loaded: () => readLoaded(),
			isConfiguredInstance: () => this.#lock.holdsLoadedModule(),
			changedParameters: () => this.#parameters.differencesFrom(this.#config),
			apply: () => this.#parameters.apply(this.#config),
			loadAgain: () => this.#loadAgain(),
		};
		this.#check = new ModuleCheck(checked, log);
	}

	/**
	 * Builds toa.ko if no build fits this kernel, loads it if it is not loaded, and verifies it.
	 * `inUse`: programs that an earlier daemon left are attached to it. The module is not verified
	 * then: it works already, and the connection made for it would be counted.
	 * @throws {ToascopeError} the MODULE_ codes, ALREADY_RUNNING, NO_PRIVILEGE, MISSING_TOOL
	 */
	static async open(config: Config, log: LogSink, inUse: boolean): Promise<KernelModule> {
		const how = await loadModule(config);
		// if another daemon has the lock, this throws and the module stays: that daemon uses it
		const module = new KernelModule(config, how === 'loaded', HostLock.acquire(), log);
		try {
			module.apply(config);
			if (!inUse) verifyModule(config);
		} catch (error) {
			module.close(false, false);
			throw error;
		}
		module.#logLoaded(how);
		return module;
	}

	/** `loaded`: this daemon loaded the module. Must run before parameters are written. */
	#readPrevious(loaded: boolean): ShownParameters | undefined {
		return loaded ? undefined : this.#parameters.read();
	}

	#logLoaded(how: string): void {
		const { version, srcversion } = readLoaded() ?? {};
		logLine(this.#log, logLines.moduleLoaded, { how, version, srcversion });
	}

	apply(config: Config): void {
		this.#parameters.apply(config);
		this.#config = config;
		this.#warnExtraProfiles(unsupportedProfiles(config.profiles));
	}

	/**
	 * Warns once about the same profiles: a start applies its configuration twice, and a reload
	 * applies it again even if it changes something else.
	 */
	#warnExtraProfiles(profiles: readonly string[]): void {
		if (profiles.join() === this.#reportedProfiles) return;
		this.#reportedProfiles = profiles.join();
		if (profiles.length > 0) logLine(this.#log, logLines.moduleClientsOnly, { profiles });
	}

	check(): ReaderReport {
		return this.#check.run();
	}

	/** Loads the module again after another process unloaded it. */
	async #loadAgain(): Promise<void> {
		const how = await loadModule(this.#config);
		if (this.#closedKeep !== undefined) {
			// closed meanwhile: unload it again, unless everything is to be kept
			if (how === 'loaded' && !this.#closedKeep) removeModule();
			return;
		}
		this.#lock.release();
		// if another daemon has the lock, this throws and the module stays: that daemon uses it
		this.#lock = HostLock.acquire();
		this.#previous = this.#readPrevious(how === 'loaded');
		this.#parameters.apply(this.#config);
		this.#logLoaded(how);
	}

	events(): Readonly<Record<string, bigint>> {
		return readEvents();
	}

	/**
	 * A module that was loaded before the start stays; if the start failed, its parameters are
	 * restored. A module that another process loaded in place of ours since the last check stays as
	 * well.
	 */
	close(keep: boolean, started = true): void {
		this.#closedKeep ??= keep;
		try {
			if (!this.#lock.holdsLoadedModule()) return;
			if (this.#previous === undefined) {
				if (!keep) removeModule();
			} else if (!started) this.#parameters.restore(this.#previous);
		} catch (err) {
			logLine(this.#log, this.#previous === undefined ? logLines.moduleStaysLoaded : logLines.moduleNotRestored, {
				err,
			});
		} finally {
			this.#lock.release();
		}
	}
}
