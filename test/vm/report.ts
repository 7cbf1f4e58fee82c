// SPDX-License-Identifier: Apache-2.0
/**
 * The serial output of a guest, in lines: `step NAME`, then for each of its tests `ok TEST`,
 * `not ok TEST` with its details before it, indented, or `skip TEST: REASON`, and at the end
 * `step NAME took N s`. See guest.sh.
 */

/** The results of the tests of one step. */
export interface StepReport {
	readonly name: string;
	passed: number;
	/** Each test that failed, with its details. */
	readonly failures: string[];
	/** `TEST: REASON` */
	readonly skips: string[];
	/** By the guest's clock; 0: it did not end. */
	seconds: number;
}

/** Kernel messages after which the guest is not usable. */
const fatalMessages = /Kernel panic|BUG: |Oops/;

export class Report {
	readonly steps: StepReport[] = [];
	/** What failed outside of any test. */
	readonly problems: string[] = [];
	#details: string[] = [];

	/** Parses a line of the serial output. Returns whether it belongs to a test. */
	read(line: string): boolean {
		const step = this.steps.at(-1);
		const [, word = '', rest = ''] = /^(ok|not ok|skip|step|toascope:) (.*)$/.exec(line) ?? [];
		if (fatalMessages.test(line)) this.problems.push(line);
		if (word === '') {
			// the details of a failure to come
			const isDetail = step !== undefined && /^ {2,}\S/.test(line);
			if (isDetail) this.#details.push(line);
			return isDetail;
		}
		const [, seconds] = /^.* took (\d+) s$/.exec(rest) ?? [];
		if (word === 'step' && seconds !== undefined) {
			if (step !== undefined) step.seconds = Number(seconds);
		} else if (word === 'step') {
			this.steps.push({ name: rest, passed: 0, failures: [], skips: [], seconds: 0 });
		} else if (word === 'not ok') {
			const failures = step?.failures ?? this.problems;
			// the failure of a step is reported only if none of its tests has failed
			if (!/: ended with \d+$/.test(rest) || failures.length === 0) failures.push([rest, ...this.#details].join('\n'));
		} else if (word === 'skip') step?.skips.push(rest);
		else if (word === 'ok' && step !== undefined) step.passed++;
		this.#details = [];
		return true;
	}

	get failed(): number {
		return this.steps.reduce((sum, { failures }) => sum + failures.length, this.problems.length);
	}
}
