// SPDX-License-Identifier: Apache-2.0
/**
 * Checks that toa.ko is still loaded, that the configuration is in force for it and that its probes
 * run: other processes can unload it, change its parameters or switch its probes off.
 */
import type { MissingAttachment } from '../capture/attachment_report.ts';
import type { ReaderReport } from '../capture/provider.ts';
import { codeOfError } from '../errors.ts';
import { kprobesOffReason } from '../host/tracing_switch.ts';
import { LogLimit, type LogSink } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { describeLoaded, type LoadedModule } from './loaded.ts';

/** The operations on the module that the check needs. */
export interface CheckedModule {
	/** The loaded module `toa`, of any origin. */
	loaded(): LoadedModule | undefined;
	/** Whether it is the instance that this daemon configured, not one that was loaded since. */
	isConfiguredInstance(): boolean;
	/** The parameters that differ from the configuration; undefined: none do. */
	changedParameters(): string | undefined;
	/** Writes the configuration to the module's parameters. */
	apply(): void;
	/** Loads the module if it is not loaded, and writes the configuration to its parameters. */
	loadAgain(): Promise<void>;
	/** Why its probes do not run; undefined: they run. */
	probesOff?(): string | undefined;
}

/**
 * Shortest pause between two attempts. The pause before loading doubles with each further failure,
 * because an attempt can spend minutes building.
 */
const retryMs = 10_000;
const longestRetryMs = 600_000;

export class ModuleCheck {
	readonly #module: CheckedModule;
	readonly #limit: LogLimit;
	readonly #nowMs: () => number;
	readonly #lost = { module: 0n, module_parameters: 0n, module_probes: 0n };
	/** What the previous check found in place of our module; undefined: our module was loaded. */
	#found: string | undefined;
	/** Changed parameters that the previous check could not restore; undefined: none. */
	#unrestored: string | undefined;
	#appliedMs = Number.NEGATIVE_INFINITY;
	#probesOff: string | undefined;
	#loading = false;
	/** When the latest attempt to load the module ended. */
	#triedMs = Number.NEGATIVE_INFINITY;
	/** Consecutive failed attempts to load the module. */
	#failures = 0;

	/** `nowMs`: a monotonic clock in milliseconds. */
	constructor(module: CheckedModule, log: LogSink, nowMs: () => number = () => performance.now()) {
		this.#module = module;
		this.#nowMs = nowMs;
		this.#limit = new LogLimit(log, nowMs);
	}

	run(): ReaderReport {
		const missing = this.#checkLoaded() ?? [...this.#checkParameters(), ...this.#checkProbes()];
		return { lost: { ...this.#lost }, missing };
	}

	/** Undefined: our module is loaded. */
	#checkLoaded(): MissingAttachment[] | undefined {
		if (this.#module.isConfiguredInstance()) {
			this.#found = undefined;
			return undefined;
		}
		const other = this.#module.loaded();
		const found = other === undefined ? 'not loaded' : describeLoaded(other);
		if (this.#found === undefined) {
			this.#lost.module++;
			this.#limit.log('lost', logLines.moduleUnloaded, { found });
		}
		// after a change, such as the end of a conflicting module, retry after the shortest pause
		if (found !== this.#found) this.#failures = 0;
		this.#found = found;
		this.#loadAgain();
		return [{ reason: 'module_missing', text: `toa.ko was unloaded by another process; now: ${found}` }];
	}

	#loadAgain(): void {
		const pauseMs = Math.min(retryMs * 2 ** Math.max(0, this.#failures - 1), longestRetryMs);
		if (this.#loading || this.#nowMs() - this.#triedMs < pauseMs) return;
		this.#loading = true;
		this.#module
			.loadAgain()
			.then(
				() => {
					this.#failures = 0;
				},
				(err) => {
					this.#failures++;
					this.#limit.log(`refused ${codeOfError(err)}`, logLines.moduleReloadFailed, { err });
				},
			)
			.finally(() => {
				// from its end: an attempt longer than the pause must not begin again at once
				this.#triedMs = this.#nowMs();
				this.#loading = false;
			});
	}

	#checkParameters(): MissingAttachment[] {
		const found = this.#module.changedParameters();
		const isNew = found !== this.#unrestored;
		if (found === undefined) {
			this.#unrestored = undefined;
			return [];
		}
		if (isNew) this.#lost.module_parameters++;
		if (isNew || this.#nowMs() - this.#appliedMs >= retryMs) this.#applyAgain(found);
		return [
			{ reason: 'module_parameters', text: `the parameters of toa.ko were changed by another process: ${found}` },
		];
	}

	#applyAgain(found: string): void {
		this.#appliedMs = this.#nowMs();
		try {
			this.#module.apply();
			// the same difference at the next check is a new change, and is counted again
			this.#unrestored = undefined;
			this.#limit.log('parameters', logLines.moduleParameters, { found });
		} catch (err) {
			this.#unrestored = found;
			this.#limit.log(`parameters ${codeOfError(err)}`, logLines.moduleParameters, { found, err });
		}
	}

	#checkProbes(): MissingAttachment[] {
		const why = (this.#module.probesOff ?? kprobesOffReason)();
		if (why !== undefined && this.#probesOff === undefined) {
			this.#lost.module_probes++;
			this.#limit.log('probes', logLines.moduleSwitchedOff, { why });
		}
		this.#probesOff = why;
		return why === undefined
			? []
			: [{ reason: 'module_switched_off', text: `the probes of toa.ko do not run: ${why}` }];
	}
}
