// SPDX-License-Identifier: Apache-2.0
/** Comments that name functions: a name that a rename has left behind is found, and no other. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { commentNameProblems } from '../../../scripts/comment_names.ts';

let root: string;
beforeAll(() => {
	root = mkdtempSync(join(tmpdir(), 'toascope-'));
	mkdirSync(join(root, 'daemon'));
});
afterAll(() => rmSync(root, { recursive: true }));

it.each([
	['a function of the source', '/** See open(). */\nexport function open() {}\n', []],
	['a function of the kernel', '// tcp_ack() ran before\n', []],
	[
		'a function that no code has',
		'const a = 1;\n// calls reopen() later\n',
		['daemon/a.ts:2: no function is called reopen()'],
	],
	['what looks like a comment in a string', "const text = '// reopen()';\n", []],
])('%s', (_, source, problems) => {
	writeFileSync(join(root, 'daemon/a.ts'), source);
	expect(commentNameProblems(root, ['daemon/a.ts'])).toEqual(problems);
});
