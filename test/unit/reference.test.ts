// SPDX-License-Identifier: Apache-2.0
/** The tables that the reference pages are made of: complete, and used. That the pages are fresh is for `npm run check`. */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { keys } from '../../daemon/config/schema.ts';
import { errorCodes, exitMeanings } from '../../daemon/errors.ts';
import { problems } from '../../daemon/http/problem.ts';
import { logLines } from '../../daemon/log_lines.ts';

const root = join(import.meta.dirname, '../..');
const sources = globSync('daemon/**/*.ts', { cwd: root })
	.filter((file) => !file.endsWith('log_lines.ts') && file !== 'daemon/errors.ts')
	.map((file) => readFileSync(join(root, file), 'utf8'))
	.join('\n');

it('says of every key what may stand there', () => {
	for (const { path, mayBe } of keys) expect(mayBe, path).toMatch(/^(?!Invalid)\S/);
	expect(keys.find(({ path }) => path === 'clients.prefix6')?.mayBe).toBe('a whole number from 1 to 128');
});

it('has no line of the log that nothing writes, and none is written past the table', () => {
	for (const name of Object.keys(logLines)) expect(sources, name).toContain(`logLines.${name}`);
	const direct = [...sources.matchAll(/[lL]og(?:ger)?\??\.(?:info|warn|error)\(/g)];
	expect(direct.map(([text]) => text)).toEqual([]);
});

it('has no error that nothing throws', () => {
	for (const code of Object.keys(errorCodes)) expect(sources, code).toContain(`'${code}'`);
	for (const { exit } of Object.values(errorCodes)) expect(exitMeanings[exit]).toMatch(/./);
});

it('has no status of a problem that nothing answers', () => {
	// the framework's own, from the media type and the length of the body
	const fromFramework = ['415', '500'];
	for (const status of Object.keys(problems)) {
		if (!fromFramework.includes(status)) expect(sources, status).toMatch(new RegExp(`\\b${status}[,\\]]`));
	}
});
