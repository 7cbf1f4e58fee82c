// SPDX-License-Identifier: Apache-2.0
/** toa.ko as what reads the options: loaded and seen at work before anything is built upon it. */
import type { OptionReader, ReaderReport } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { type LogSink, logLines, tell } from '../log_lines.ts';
import { readEvents } from './counters.ts';
import { HostLock } from './host_lock.ts';
import { loadModule } from './load.ts';
import { readLoaded } from './loaded.ts';
import { ModuleCheck } from './module_check.ts';
import { beyondModule, Parameters, type Shown } from './parameters.ts';
import { removeModule } from './unload.ts';
import { verifyModule } from './verify.ts';

export class KernelModule implements OptionReader {
	readonly name = 'module';
	readonly #parameters = new Parameters();
	readonly #log: LogSink;
	readonly #check: ModuleCheck;
	#lock: HostLock;
	/** In force: a reload changes it. */
	#config: Config;
	/** Undefined: not yet closed; then whether all is to be kept. */
	#closedKeep: boolean | undefined;
	/** Profiles of which the log has said that the module knows less. */
	#beyond = '';
	/** What was in force before; undefined: it was not loaded, so that it is ours to take away. Loading again decides anew. */
	#before: Shown | undefined;

	private constructor(config: Config, loaded: boolean, lock: HostLock, log: LogSink) {
		this.#config = config;
		this.#lock = lock;
		this.#before = this.#foundBefore(loaded);
		this.#log = log;
		const checked = {
			loaded: () => readLoaded(),
			isOurs: () => this.#lock.isOfLoaded(),
			otherParameters: () => this.#parameters.otherThan(this.#config),
			apply: () => this.#parameters.apply(this.#config),
			loadAgain: () => this.#loadAgain(),
		};
		this.#check = new ModuleCheck(checked, log);
	}

	/**
	 * Builds it where none fits this kernel, loads it where it is not loaded, and checks what it does.
	 * `inUse`: programs that a daemon left hang on it, so that it works, and a connection to check it would be counted.
	 * @throws {ToascopeError} the MODULE_ codes, ALREADY_RUNNING, NO_PRIVILEGE, MISSING_TOOL
	 */
	static async open(config: Config, log: LogSink, inUse: boolean): Promise<KernelModule> {
		const how = await loadModule(config);
		// who else has it at this moment may have found it loaded by us: then it stays
		const module = new KernelModule(config, how === 'loaded', HostLock.take(), log);
		try {
			module.apply(config);
			if (!inUse) verifyModule(config);
		} catch (error) {
			module.close(false, false);
			throw error;
		}
		module.#tellLoaded(how);
		return module;
	}

	/** `loaded`: by us. Read before anything is put in force. */
	#foundBefore(loaded: boolean): Shown | undefined {
		return loaded ? undefined : this.#parameters.read();
	}

	#tellLoaded(how: string): void {
		const { version, srcversion } = readLoaded() ?? {};
		tell(this.#log, logLines.moduleLoaded, { how, version, srcversion });
	}

	apply(config: Config): void {
		this.#parameters.apply(config);
		this.#config = config;
		this.#tellBeyond(beyondModule(config.profiles));
	}

	/** A start puts the same configuration in force twice, and so does a reload that changes something else. */
	#tellBeyond(profiles: readonly string[]): void {
		if (profiles.join() === this.#beyond) return;
		this.#beyond = profiles.join();
		if (profiles.length > 0) tell(this.#log, logLines.moduleClientsAlone, { profiles });
	}

	check(): ReaderReport {
		return this.#check.run();
	}

	/** After another process unloaded it. */
	async #loadAgain(): Promise<void> {
		const how = await loadModule(this.#config);
		if (this.#closedKeep !== undefined) {
			// it came too late: nothing is to be left, unless all is
			if (how === 'loaded' && !this.#closedKeep) removeModule();
			return;
		}
		this.#lock.release();
		// who else has it at this moment may have found it loaded by us: then it stays
		this.#lock = HostLock.take();
		this.#before = this.#foundBefore(how === 'loaded');
		this.#parameters.apply(this.#config);
		this.#tellLoaded(how);
	}

	events(): Readonly<Record<string, bigint>> {
		return readEvents();
	}

	/**
	 * One that was loaded before stays; where the start failed, with the parameters that it had. So does one that another
	 * process loaded since the last check in place of ours.
	 */
	close(keep: boolean, started = true): void {
		this.#closedKeep ??= keep;
		try {
			if (!this.#lock.isOfLoaded()) return;
			if (this.#before === undefined) {
				if (!keep) removeModule();
			} else if (!started) this.#parameters.restore(this.#before);
		} catch (err) {
			tell(this.#log, this.#before === undefined ? logLines.moduleKept : logLines.moduleNotRestored, { err });
		} finally {
			this.#lock.release();
		}
	}
}
