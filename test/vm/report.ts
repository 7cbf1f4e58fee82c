// SPDX-License-Identifier: Apache-2.0
/**
 * What a guest says on its serial line, a line each: `step NAME`, then `ok TEST`, `not ok TEST`, `skip TEST: REASON` for each test
 * of it, those that failed with their details before them, indented; at the end `step NAME took N s`. See guest.sh.
 */

/** What the tests of one step came to. */
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

/** The kernel's end, in its own words. */
const endWords = /Kernel panic|BUG: |Oops/;

export class Report {
	readonly steps: StepReport[] = [];
	/** What failed outside of any test. */
	readonly troubles: string[] = [];
	#details: string[] = [];

	/** Takes a line of the serial line in. Returns whether it is one of the tests' own. */
	read(line: string): boolean {
		const step = this.steps.at(-1);
		const [, word = '', rest = ''] = /^(ok|not ok|skip|step|toascope:) (.*)$/.exec(line) ?? [];
		if (endWords.test(line)) this.troubles.push(line);
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
			const failures = step?.failures ?? this.troubles;
			// that a step failed needs no words of its own when its tests have said why
			if (!/: ended with \d+$/.test(rest) || failures.length === 0) failures.push([rest, ...this.#details].join('\n'));
		} else if (word === 'skip') step?.skips.push(rest);
		else if (word === 'ok' && step !== undefined) step.passed++;
		this.#details = [];
		return true;
	}

	get failed(): number {
		return this.steps.reduce((sum, { failures }) => sum + failures.length, this.troubles.length);
	}
}
