// SPDX-License-Identifier: Apache-2.0
/** Whether toa.ko is still loaded, decides by the configuration, and has its probes: others may unload, change or switch it off. */
import type { Missing } from '../capture/attachment_check.ts';
import type { ReaderReport } from '../capture/provider.ts';
import { kprobesOff } from '../capture/tracing_switch.ts';
import { codeOfError } from '../errors.ts';
import { LogLimit, type LogSink, logLines } from '../log_lines.ts';
import { describeLoaded, type Loaded } from './loaded.ts';

/** What is checked. */
export interface CheckedModule {
	/** The module `toa` that is loaded, whosever it is. */
	loaded(): Loaded | undefined;
	/** It is the very one that was put in force. */
	isOurs(): boolean;
	/** What is in force instead of the configuration; undefined: the configuration is. */
	otherParameters(): string | undefined;
	/** Puts the configuration in force. */
	apply(): void;
	/** Loads the module where it is not loaded, and puts the configuration in force. */
	loadAgain(): Promise<void>;
	/** Why its probes do not run; undefined: they do. */
	probesOff?(): string | undefined;
}

/** Between two attempts; the pause before loading doubles with each further refusal, since an attempt may build for minutes. */
const retryMs = 10_000;
const longestRetryMs = 600_000;

export class ModuleCheck {
	readonly #module: CheckedModule;
	readonly #limit: LogLimit;
	readonly #nowMs: () => number;
	readonly #lost = { module: 0n, module_parameters: 0n, module_probes: 0n };
	/** What the check before found in its place; undefined: it was there. */
	#found: string | undefined;
	/** What the check before found in force instead of the configuration, and could not put back. */
	#wrong: string | undefined;
	#appliedMs = Number.NEGATIVE_INFINITY;
	#probesOff: string | undefined;
	#loading = false;
	/** When the latest attempt to load it ended. */
	#triedMs = Number.NEGATIVE_INFINITY;
	/** Attempts in a row that were refused. */
	#refusals = 0;

	/** `nowMs`: milliseconds that only grow. */
	constructor(module: CheckedModule, log: LogSink, nowMs: () => number = () => performance.now()) {
		this.#module = module;
		this.#nowMs = nowMs;
		this.#limit = new LogLimit(log, nowMs);
	}

	run(): ReaderReport {
		const missing = this.#checkLoaded() ?? [...this.#checkParameters(), ...this.#checkProbes()];
		return { lost: { ...this.#lost }, missing };
	}

	/** Undefined: it is there. */
	#checkLoaded(): Missing[] | undefined {
		if (this.#module.isOurs()) {
			this.#found = undefined;
			return undefined;
		}
		const other = this.#module.loaded();
		const found = other === undefined ? 'not loaded' : describeLoaded(other);
		if (this.#found === undefined) {
			this.#lost.module++;
			this.#limit.tell('lost', logLines.moduleLost, { found });
		}
		// another state of things, such as a module in the way that is taken away, is worth an attempt
		if (found !== this.#found) this.#refusals = 0;
		this.#found = found;
		this.#loadAgain();
		return [{ reason: 'module_missing', text: `toa.ko was unloaded by another process; now: ${found}` }];
	}

	#loadAgain(): void {
		const pauseMs = Math.min(retryMs * 2 ** Math.max(0, this.#refusals - 1), longestRetryMs);
		if (this.#loading || this.#nowMs() - this.#triedMs < pauseMs) return;
		this.#loading = true;
		this.#module
			.loadAgain()
			.then(
				() => {
					this.#refusals = 0;
				},
				(err) => {
					this.#refusals++;
					this.#limit.tell(`refused ${codeOfError(err)}`, logLines.moduleNotLoadedAgain, { err });
				},
			)
			.finally(() => {
				// its end, and not its start: one that takes longer than the pause is not to begin again at once
				this.#triedMs = this.#nowMs();
				this.#loading = false;
			});
	}

	#checkParameters(): Missing[] {
		const found = this.#module.otherParameters();
		const isNew = found !== this.#wrong;
		if (found === undefined) {
			this.#wrong = undefined;
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
			// what is found at the next check was changed once more, also where it is the same
			this.#wrong = undefined;
			this.#limit.tell('parameters', logLines.moduleParameters, { found });
		} catch (err) {
			this.#wrong = found;
			this.#limit.tell(`parameters ${codeOfError(err)}`, logLines.moduleParameters, { found, err });
		}
	}

	#checkProbes(): Missing[] {
		const why = (this.#module.probesOff ?? kprobesOff)();
		if (why !== undefined && this.#probesOff === undefined) {
			this.#lost.module_probes++;
			this.#limit.tell('probes', logLines.moduleSwitchedOff, { why });
		}
		this.#probesOff = why;
		return why === undefined
			? []
			: [{ reason: 'module_switched_off', text: `the probes of toa.ko do not run: ${why}` }];
	}
}
