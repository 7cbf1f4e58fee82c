// SPDX-License-Identifier: Apache-2.0
/**
 * `npm test [-- FILTER...]`: the unit tests, then the tests on this kernel. FILTER narrows to files whose path
 * contains it. Says what is skipped and why, what each file took, and in the last line
 * `N passed, N failed[, N skipped]`. Exit code 0 only if something passed and nothing failed.
 */
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { startVitest, type TestModule } from 'vitest/node';

interface Suite {
	readonly name: string;
	readonly passed: number;
	readonly failed: number;
	readonly skipped: number;
	/** Tests, hooks and the file's own imports. */
	readonly seconds: number;
	/** `test: reason` of each test that did not run. */
	readonly skips: readonly string[];
}

const root = join(import.meta.dirname, '..');

function countSuite(module: TestModule): Suite {
	let passed = 0;
	let failed = 0;
	const skips: string[] = [];
	for (const test of module.children.allTests()) {
		const result = test.result();
		if (result.state === 'passed') passed++;
		else if (result.state === 'failed') failed++;
		else skips.push(`${test.fullName}: ${(result.state === 'skipped' && result.note) || 'not run'}`);
	}
	// a file that does not load, or a hook that fails, takes its tests with it
	if (failed === 0 && module.state() === 'failed') failed = 1;
	const { collectDuration, duration } = module.diagnostic();
	return {
		name: module.relativeModuleId,
		passed,
		failed,
		skipped: skips.length,
		seconds: (collectDuration + duration) / 1000,
		skips,
	};
}

function hasCommand(name: string): boolean {
	try {
		execFileSync('sh', ['-c', 'command -v "$1"', 'sh', name], { stdio: 'ignore' });
		return true;
	} catch {
		return false;
	}
}

/** What this machine lacks for some tests, in the words of the summary. */
function shortcomings(isRoot: boolean): string[] {
	const lines: string[] = [];
	if (!isRoot) lines.push('not root: none of the tests on this kernel (test/host) runs. Run `sudo npm test`.');
	for (const name of ['python3', 'nginx', 'haproxy', 'apache2', 'javac', 'go', 'prometheus', 'promtool']) {
		if (!hasCommand(name)) lines.push(`no ${name} here: the tests that need it are skipped.`);
	}
	return lines;
}

function printTable(suites: readonly Suite[]): void {
	const width = Math.max(5, ...suites.map((suite) => suite.name.length));
	const row = (name: string, ...cells: readonly (string | number)[]): void =>
		console.log(name.padEnd(width) + cells.map((cell) => String(cell).padStart(9)).join(''));
	console.log('');
	row('suite', 'passed', 'failed', 'skipped', 'seconds');
	for (const suite of suites) {
		row(suite.name, suite.passed, suite.failed, suite.skipped, suite.seconds.toFixed(1));
	}
}

process.chdir(root);
process.env.PATH = `${join(root, 'build/tools/bin')}:${process.env.PATH}`;
const filters = process.argv.slice(2);
const isRoot = process.getuid?.() === 0;
const lacks = shortcomings(isRoot);
for (const line of lacks) console.log(`!! ${line}`);

const vitest = await startVitest('test', filters, {
	run: true,
	watch: false,
	configLoader: 'native',
	passWithNoTests: true,
	project: isRoot ? ['unit', 'host'] : ['unit'],
});
const suites = vitest.state.getTestModules().map(countSuite);
const strayErrors = vitest.state.getUnhandledErrors().length;
await vitest.close();

if (!isRoot) {
	const files = globSync('test/host/**/*.test.ts').filter(
		(file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
	);
	for (const name of files) {
		suites.push({ name, passed: 0, failed: 0, skipped: 1, seconds: 0, skips: ['the whole file: not root'] });
	}
}
printTable(suites);

console.log('');
for (const suite of suites) for (const skip of suite.skips) console.log(`SKIPPED ${suite.name} > ${skip}`);
for (const line of lacks) console.log(`!! ${line}`);
if (strayErrors > 0) console.log(`!! ${strayErrors} error(s) outside of any test: see above.`);

const sum = (pick: (suite: Suite) => number): number => suites.reduce((total, suite) => total + pick(suite), 0);
const passed = sum((suite) => suite.passed);
const skipped = sum((suite) => suite.skipped);
let failed = sum((suite) => suite.failed) + strayErrors;
if (passed + failed + skipped === 0) {
	console.log(`!! no test matches ${filters.join(' ')}`);
	failed = 1;
}
console.log(`${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exit(failed > 0 || passed === 0 ? 1 : 0);
