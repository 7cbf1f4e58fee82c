// SPDX-License-Identifier: Apache-2.0
/**
 * `npm test [-- FILTER...]`: runs the unit tests, the tests on this kernel, and those in guests
 * with other kernels. FILTER selects a suite (`unit`, `host`, `vm`), or the files whose path
 * contains it; the path of a guest is `test/vm/KERNEL`. Prints what is skipped and why, the
 * duration of each file, and `N passed, N failed[, N skipped]` as the last line. Exit code 0 only
 * if something passed and nothing failed.
 */
import { execFileSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { createVitest, type TestModule } from 'vitest/node';
import { closeVitest } from '../test/kit/close_vitest.ts';
import { dailyKernels, dailyPlan } from '../test/vm/plans.ts';
import { testGuests } from '../test/vm/suites.ts';
import { printLastLine, printSkips, printTable, type Suite } from './summary.ts';
import { pathPart } from './test_filters.ts';

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
	// if a file does not load or a hook fails, no test of it is marked as failed
	if (failed === 0 && module.state() === 'failed') failed = 1;
	const { collectDuration, duration } = module.diagnostic();
	return {
		name: module.relativeModuleId,
		passed,
		failed,
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

/** A line for each requirement of some tests that this machine does not meet. */
function missingRequirements(isRoot: boolean): string[] {
	const lines: string[] = [];
	if (!isRoot) lines.push('not root: the tests on this kernel (test/host) are skipped. Run `sudo npm test`.');
	for (const name of [
		'python3',
		'nginx',
		'haproxy',
		'apache2',
		'vsftpd',
		'sshd',
		'nft',
		'javac',
		'go',
		'cargo',
		'prometheus',
		'promtool',
	]) {
		if (!hasCommand(name)) lines.push(`${name} is not installed: the tests that require it are skipped.`);
	}
	return lines;
}

process.chdir(root);
process.env.PATH = `${join(root, 'build/tools/bin')}:${process.env.PATH}`;
const filters = process.argv.slice(2).map(pathPart);
// before the tests are loaded: see test/kit/thorough.ts
if (filters.length > 0) process.env['TEST_THOROUGH'] = '1';
const isRoot = process.getuid?.() === 0;
const missing = missingRequirements(isRoot);
if (filters.length === 0) {
	console.log('All tests take up to an hour on 2 cores; `npm test -- unit` takes three minutes.');
}
for (const line of missing) console.log(`!! ${line}`);

const vitest = await createVitest('test', {
	run: true,
	watch: false,
	configLoader: 'native',
	passWithNoTests: true,
	project: isRoot ? ['unit', 'host'] : ['unit'],
});
const guests = dailyKernels(filters);
const testsHere = Promise.withResolvers<void>();
// what fails before a guest has started must not end the tests here
const guestSuites: Promise<Suite[]> =
	guests.length === 0
		? Promise.resolve([])
		: testGuests(guests, dailyPlan, testsHere.promise).catch((error: unknown) => {
				console.log(`FAILED test/vm: ${String(error)}`);
				return [{ name: 'test/vm', passed: 0, failed: 1, seconds: 0, skips: [] }];
			});
await vitest.start(filters).catch((error: unknown) => {
	// the filters select only guests
	if ((error as { code?: unknown }).code !== 'VITEST_FILES_NOT_FOUND') throw error;
});
const suites = vitest.state.getTestModules().map(countSuite);
const strayErrors = vitest.state.getUnhandledErrors().length;
testsHere.resolve();
// before Vitest is closed, which ends what it finds running
const guestResults = await guestSuites;
const killed = await closeVitest(vitest);
if (killed > 0) console.log(`!! a test continued after its timeout: its ${killed} processes were killed.`);

if (!isRoot) {
	const files = globSync('test/host/**/*.test.ts').filter(
		(file) => filters.length === 0 || filters.some((filter) => file.includes(filter)),
	);
	for (const name of files) {
		suites.push({ name, passed: 0, failed: 0, seconds: 0, skips: ['the whole file: not root'] });
	}
}
suites.push(...guestResults);

printTable(suites);
printSkips(suites);
for (const line of missing) console.log(`!! ${line}`);
if (strayErrors > 0) console.log(`!! ${strayErrors} errors occurred outside of any test: see above.`);

const nothing = suites.length === 0;
if (nothing) console.log(`!! no test matches ${filters.join(' ')}`);
process.exit(printLastLine(suites, strayErrors + (nothing ? 1 : 0)));
