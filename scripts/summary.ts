// SPDX-License-Identifier: Apache-2.0
/**
 * Prints the summary of a test run: a table of its suites, the skipped tests with the reasons, and
 * the last line, which .ci/run parses.
 */

export interface Suite {
	readonly name: string;
	readonly passed: number;
	readonly failed: number;
	/** `test: reason` of each test that did not run. */
	readonly skips: readonly string[];
	/** Duration of the tests, the hooks and the file's imports. */
	readonly seconds: number;
}

export function printTable(suites: readonly Suite[]): void {
	const width = Math.max(5, ...suites.map((suite) => suite.name.length));
	const row = (name: string, ...cells: readonly (string | number)[]): void =>
		console.log(name.padEnd(width) + cells.map((cell) => String(cell).padStart(9)).join(''));
	console.log('');
	row('suite', 'passed', 'failed', 'skipped', 'seconds');
	for (const { name, passed, failed, skips, seconds } of suites) {
		row(name, passed, failed, skips.length, seconds.toFixed(1));
	}
	console.log('');
}

export function printSkips(suites: readonly Suite[]): void {
	for (const { name, skips } of suites) for (const skip of skips) console.log(`SKIPPED ${name} > ${skip}`);
}

/**
 * Prints `N passed, N failed[, N skipped]`. Returns the exit code: 0 only if something passed and
 * nothing failed.
 */
export function printLastLine(suites: readonly Suite[], strayFailures = 0): number {
	const sum = (pick: (suite: Suite) => number): number => suites.reduce((total, suite) => total + pick(suite), 0);
	const passed = sum((suite) => suite.passed);
	const skipped = sum((suite) => suite.skips.length);
	const failed = sum((suite) => suite.failed) + strayFailures;
	console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
	return failed > 0 || passed === 0 ? 1 : 0;
}
