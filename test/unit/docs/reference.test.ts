// SPDX-License-Identifier: Apache-2.0
/**
 * The tables that the reference pages are generated from are complete and used. `npm run check`
 * verifies that the pages are up to date.
 */
import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { keys } from '../../../daemon/config/schema.ts';
import { errorCodes, exitMeanings } from '../../../daemon/errors.ts';
import { problemMeanings } from '../../../daemon/http/problem.ts';
import { logLines } from '../../../daemon/log_lines.ts';

const root = join(import.meta.dirname, '../../..');
const sources = globSync('daemon/**/*.ts', { cwd: root })
	.filter((file) => !file.startsWith('daemon/log_lines') && file !== 'daemon/errors.ts')
	.map((file) => readFileSync(join(root, file), 'utf8'))
	.join('\n');

it('states the allowed values of every key', () => {
	for (const { path, allowedValues } of keys) expect(allowedValues, path).toMatch(/^(?!Invalid)\S/);
	expect(keys.find(({ path }) => path === 'clients.prefix6')?.allowedValues).toBe('a whole number from 1 to 128');
});

it('has no unused log line, and every log line is written through the table', () => {
	for (const name of Object.keys(logLines)) expect(sources, name).toContain(`logLines.${name}`);
	const direct = [...sources.matchAll(/[lL]og(?:ger)?\??\.(?:info|warn|error)\(/g)];
	expect(direct.map(([text]) => text)).toEqual([]);
});

it('has no error code that is never thrown', () => {
	for (const code of Object.keys(errorCodes)) expect(sources, code).toContain(`'${code}'`);
	for (const { exit } of Object.values(errorCodes)) expect(exitMeanings[exit]).toMatch(/./);
});

it('has no problem status that is never sent', () => {
	// sent by the framework itself, for the media type or the length of the body
	const fromFramework = ['415', '500'];
	for (const status of Object.keys(problemMeanings)) {
		if (!fromFramework.includes(status)) expect(sources, status).toMatch(new RegExp(`\\b${status}[,\\]]`));
	}
});
