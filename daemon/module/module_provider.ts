// SPDX-License-Identifier: Apache-2.0
/**
 * toa.ko on a host that refuses BPF: it answers getsockopt(4096), its counters are exported, and no
 * connection is tracked.
 */
import { native } from '../../native/binding.ts';
import { type AttachmentReport, checkFailed, notYetChecked } from '../capture/attachment_report.ts';
import type { OptionReader, Provider } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';

export class ModuleProvider implements Provider {
	readonly name = 'module';
	readonly acceptProgram = 'none';
	readonly features = native().probe().features;
	readonly tracker = undefined;
	readonly #reader: OptionReader;
	#report: AttachmentReport = notYetChecked;

	constructor(reader: OptionReader) {
		this.#reader = reader;
	}

	/** If the check throws, the report says that the state is unknown. */
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

	moduleEvents(): Readonly<Record<string, bigint>> {
		return this.#reader.events();
	}

	reload(config: Config): void {
		this.#reader.apply(config);
	}

	close(keep: boolean, started = true): readonly string[] {
		this.#reader.close(keep, started);
		return [];
	}
}
