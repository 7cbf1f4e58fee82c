// SPDX-License-Identifier: Apache-2.0
/**
 * In a guest: `guest_tests.ts FILTER...` runs the tests of test/host and test/vm/guest whose paths
 * contain a FILTER, and prints a line for each of them (see report.ts). Exit code 0: at least one
 * test passed, and none failed.
 */
import { join } from 'node:path';
import { createVitest, type Reporter, type TestCase, type TestModule } from 'vitest/node';
import { closeVitest } from '../kit/close_vitest.ts';

const root = join(import.meta.dirname, '../..');
let passed = 0;
let failed = 0;

/** Prints a line, and before it the details, indented. */
function print(line: string, details: readonly { readonly message: string; readonly stack?: string }[] = []): void {
	const text = details.map(({ stack, message }) => stack ?? message).join('\n');
	const indented = text === '' ? '' : `${text.replace(/^/gm, '  ')}\n`;
	process.stdout.write(`${indented}${line.replaceAll('\n', ' ')}\n`);
}

const reporter: Reporter = {
	onTestCaseResult(test: TestCase) {
		const name = `${test.module.relativeModuleId} ${test.fullName}`;
		const result = test.result();
		if (result.state === 'passed') {
			passed++;
			print(`ok ${name} (${((test.diagnostic()?.duration ?? 0) / 1000).toFixed(1)} s)`);
		} else if (result.state === 'failed') {
			failed++;
			print(`not ok ${name}`, result.errors);
		} else print(`skip ${name}: ${(result.state === 'skipped' && result.note) || 'not run'}`);
	},
	onTestModuleEnd(module: TestModule) {
		const { collectDuration, duration } = module.diagnostic();
		const seconds = ((collectDuration + duration) / 1000).toFixed(1);
		process.stdout.write(`# ${module.relativeModuleId}: ${module.state()}, ${seconds} s\n`);
		// a file that cannot be loaded, or a hook that fails
		const errors = [...module.errors(), ...[...module.children.allSuites()].flatMap((suite) => suite.errors())];
		if (errors.length === 0) return;
		failed++;
		print(`not ok ${module.relativeModuleId}`, errors);
	},
};

process.chdir(root);
process.env.PATH = `${join(root, 'build/tools/bin')}:${process.env.PATH}`;
const vitest = await createVitest('test', {
	run: true,
	watch: false,
	configLoader: 'native',
	project: ['host', 'guest'],
	// a process for each file would cost seconds in a guest
	isolate: false,
	reporters: [reporter],
});
await vitest.start(process.argv.slice(2));
for (const error of vitest.state.getUnhandledErrors()) {
	failed++;
	print('not ok an error outside of any test', [error as Error]);
}
await closeVitest(vitest);
process.exit(passed > 0 && failed === 0 ? 0 : 1);
