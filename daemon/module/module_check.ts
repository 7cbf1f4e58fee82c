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

const retryMs = 10_000;

export class ModuleCheck {
	readonly #module: CheckedModule;
	readonly #limit: LogLimit;
	readonly #nowMs: () => number;
	readonly #lost = { module: 0n, module_parameters: 0n, module_probes: 0n };
	#gone = false;
	#probesOff: string | undefined;
	#loading = false;
	#triedMs = Number.NEGATIVE_INFINITY;

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
			this.#gone = false;
			return undefined;
		}
		const other = this.#module.loaded();
		const found = other === undefined ? 'not loaded' : describeLoaded(other);
		if (!this.#gone) {
			this.#gone = true;
			this.#lost.module++;
			this.#limit.tell('lost', logLines.moduleLost, { found });
		}
		this.#loadAgain();
		return [{ reason: 'module_missing', text: `toa.ko was unloaded by another process; now: ${found}` }];
	}

	#loadAgain(): void {
		if (this.#loading || this.#nowMs() - this.#triedMs < retryMs) return;
		this.#loading = true;
		this.#triedMs = this.#nowMs();
		this.#module
			.loadAgain()
			.catch((err) => this.#limit.tell(`refused ${codeOfError(err)}`, logLines.moduleNotLoadedAgain, { err }))
			.finally(() => {
				this.#loading = false;
			});
	}

	#checkParameters(): Missing[] {
		const found = this.#module.otherParameters();
		if (found === undefined) return [];
		this.#lost.module_parameters++;
		let err: unknown;
		try {
			this.#module.apply();
		} catch (error) {
			err = error;
		}
		const cause = err === undefined ? 'parameters' : `parameters ${codeOfError(err)}`;
		this.#limit.tell(cause, logLines.moduleParameters, { found, ...(err !== undefined && { err }) });
		return [
			{ reason: 'module_parameters', text: `the parameters of toa.ko were changed by another process: ${found}` },
		];
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
