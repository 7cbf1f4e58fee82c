// SPDX-License-Identifier: Apache-2.0
/**
 * `npm run check`: checks the sources without running the product. Each check prints `ok` or
 * `failed` and its duration; all failures are shown, and the last line is `N passed, N failed`.
 * Exit code 1 if any check failed. `npm run format` (`--fix`) applies the formatters.
 */
import { execFile } from 'node:child_process';
import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { commentNameProblems } from './comment_names.ts';
import { formatDocument } from './documents.ts';
import { licenceProblems } from './spdx.ts';
import { vocabularyProblems } from './vocabulary.ts';

interface Check {
	readonly name: string;
	/** Resolves to a description of the problems, or to '' if there are none. */
	run(): Promise<string>;
}

const root = join(import.meta.dirname, '..');
const execute = promisify(execFile);

/** Runs a program in the tree. Resolves to '' if it exits with 0, otherwise to its output. */
async function errorText(file: string, args: readonly string[]): Promise<string> {
	try {
		await execute(file, args, { cwd: root, maxBuffer: 64 << 20 });
		return '';
	} catch (error) {
		const { stdout = '', stderr = '', message } = error as { stdout?: string; stderr?: string; message: string };
		return `${stdout}${stderr}`.trim() || message;
	}
}

const node = (script: string, ...args: readonly string[]): Promise<string> =>
	errorText(process.execPath, [script, ...args]);

process.chdir(root);
const fix = process.argv.includes('--fix');
const built = new Set(['node_modules', 'build', 'dist', '.git']);
const files = [...globSync('**/*', { exclude: (name) => built.has(name) }), '.ci/run'];
const compiled = files.filter((file) => /^(bpf|kernel|native|integrations|bench|test)\/.*\.(c|h|cc|cpp)$/.test(file));
const shell = files.filter((file) => file.endsWith('.sh') || file === 'bin/toascope');
const generators = ['layout', 'profiles', 'otlp', 'reference'].map((name) => `scripts/generate-${name}.ts`);
const documents = files.filter((file) => file.endsWith('.md'));

/** Resolves to the names of the documents that were not formatted. */
async function documentProblems(): Promise<string> {
	const problems: string[] = [];
	for (const file of documents) {
		const text = readFileSync(file, 'utf8');
		const formatted = await formatDocument(text);
		if (formatted === text) continue;
		if (fix) writeFileSync(file, formatted);
		else problems.push(`${file} is not formatted: run npm run format`);
	}
	return problems.join('\n');
}

const biome = 'node_modules/@biomejs/biome/bin/biome';
const formatters: Check[] = [
	{
		name: fix ? 'biome: write' : 'biome: format, lint, order of imports',
		run: () => node(biome, 'check', '--error-on-warnings', '--max-diagnostics=200', ...(fix ? ['--write'] : []), '.'),
	},
	{
		name: fix ? 'clang-format: write' : 'clang-format',
		run: () => errorText('clang-format', [...(fix ? ['-i'] : ['--dry-run', '-Werror']), ...compiled]),
	},
	{ name: fix ? 'documents: write' : 'documents', run: documentProblems },
];
const others: Check[] = [
	{ name: 'types', run: () => node('node_modules/typescript/bin/tsc', '-p', 'tsconfig.json') },
	{
		name: 'knip: unused or unlisted files, exports, packages',
		run: () => node('node_modules/knip/bin/knip.js', '--no-progress', '--treat-config-hints-as-errors'),
	},
	{ name: 'licence lines', run: async () => licenceProblems(root, files).join('\n') },
	{ name: 'functions that comments name', run: async () => commentNameProblems(root, files).join('\n') },
	{ name: 'vocabulary', run: async () => vocabularyProblems(root, files).join('\n') },
	{
		name: 'shell syntax',
		run: async () =>
			(
				await Promise.all([...shell.map((file) => errorText('sh', ['-n', file])), errorText('bash', ['-n', '.ci/run'])])
			).join(''),
	},
	{ name: 'shellcheck', run: () => errorText('shellcheck', [...shell, '.ci/run']) },
	...generators.map((script) => ({ name: `${script}: up to date`, run: () => node(script, '--check') })),
];

let failed = 0;
const checks = fix ? formatters : [...formatters, ...others];
for (const check of checks) {
	const began = performance.now();
	const problem = await check.run();
	const seconds = ((performance.now() - began) / 1000).toFixed(1);
	console.log(`${problem === '' ? 'ok    ' : 'failed'}  ${check.name} (${seconds} s)`);
	if (problem !== '') {
		failed++;
		console.log(problem.replace(/^/gm, '    '));
	}
}
console.log(`${checks.length - failed} passed, ${failed} failed`);
process.exitCode = failed > 0 ? 1 : 0;
