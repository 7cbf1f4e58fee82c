// SPDX-License-Identifier: Apache-2.0
/** The module where BPF is refused altogether: applications may ask it, its counters are shown, and nothing else is known. */
import { type AttachmentReport, checkFailed, notYetChecked } from '../capture/attachment_check.ts';
import { native } from '../capture/native.ts';
import type { OptionReader, Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import type { Source } from '../model/source.ts';

/** Kernel state that nobody keeps. */
function nothing(reader: OptionReader): Source {
	return {
		readListeners: () => [],
		listenersCapacity: 0,
		retireListener: () => {},
		restoreListener: () => {},
		foldListener: () => false,
		listenersFolded: () => 0n,
		readClients: () => [],
		clientsCapacity: 0,
		clientKeyLength: 1,
		readListenerSince: () => new Map(),
		writeListenerSince: () => {},
		readExported: () => new Map(),
		admit: () => [],
		retire: () => false,
		runsOver: () => Promise.resolve(),
		sweep: () => Promise.resolve(),
		fold: () => 'refused',
		dropExported: () => true,
		classifiedNs: 0n,
		clientsFolded: () => 0n,
		drops: () => ({}),
		counted: () => ({}),
		maps: () => [],
		programs: () => [],
		monotonicNs: () => native().monotonicNs(),
		moduleEvents: () => reader.events(),
	};
}

export class ModuleAlone implements Provider {
	readonly name = 'module';
	readonly acceptProgram = 'none';
	readonly features = native().probe().features;
	readonly cgroup = undefined;
	readonly wholeHost = true;
	readonly adopted = false;
	readonly counters: Source;
	readonly refusal: unknown;
	readonly #reader: OptionReader;

	/** `refusal`: why there is no BPF. */
	constructor(reader: OptionReader, refusal: unknown) {
		this.#reader = reader;
		this.refusal = refusal;
		this.counters = nothing(reader);
	}

	#report: AttachmentReport = notYetChecked;

	/** Where it throws, nothing is known, and the report says so. */
	checkAttachments(): void {
		try {
			this.#report = { programs: [], ...this.#reader.check() };
		} catch (error) {
			this.#report = checkFailed(error, this.#report.lost);
			throw error;
		}
	}

	get attachments(): AttachmentReport {
		return this.#report;
	}

	reload(config: Config): void {
		this.#reader.apply(config);
	}

	listen(): void {}

	drain = () => false;

	discard = () => 0;

	async flush(): Promise<void> {}

	lookup(): [] {
		return [];
	}

	unknownOptions(): [] {
		return [];
	}

	async peers() {
		return { connections: 0, busiest: [], listening: [] };
	}

	close(keep: boolean, started = true): readonly string[] {
		this.#reader.close(keep, started);
		return [];
	}
}
