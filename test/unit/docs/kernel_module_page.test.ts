// SPDX-License-Identifier: Apache-2.0
/**
 * docs/kernel-module.md against what it describes: its C compiles, and no error, parameter,
 * counter, row or kernel is left out.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { builtInProfiles } from '../../../daemon/config/built_in_profiles.gen.ts';
import { errorCodes } from '../../../daemon/errors.ts';
import { kernels } from '../../vm/kernels.ts';

const root = join(import.meta.dirname, '../../..');
const read = (path: string) => readFileSync(join(root, path), 'utf8');
const page = read('docs/kernel-module.md');

/** Every name that the page sets as code. */
const named = new Set([...page.matchAll(/`([^`\n]+)`/g)].map(([, name]) => name));
/** The names in a source file of the module. */
const names = (path: string, pattern: RegExp) => [...read(path).matchAll(pattern)].map(([, name]) => name as string);

it('its example program compiles without a warning', () => {
	const [, program] = /```c\n(.*?)```/s.exec(page) ?? [];
	const options = ['-std=gnu11', '-Wall', '-Wextra', '-Werror', '-fsyntax-only', '-x', 'c', '-'];
	execFileSync('cc', options, { input: program as string });
});

it.each([
	['errors', Object.keys(errorCodes).filter((code) => /^(?:MODULE|DKMS)_/.test(code))],
	[
		'parameters',
		['trust', 'profiles_param'].flatMap((name) => names(`kernel/toa_${name}.c`, /module_param_cb\((\w+)/g)),
	],
	['numeric parameters', names('kernel/toa_store.c', /module_param_named\((\w+)/g)],
	['counters', names('kernel/toa_proc.c', /\[TOA_COUNT_\w+\] = "(\w+)"/g)],
	['probes', names('kernel/toa_hook.c', /\.symbol_name = "(\w+)"/g).map((name) => `missed_${name}`)],
	['rows', names('kernel/toa_proc.c', /^\t\{ "(\w+)", \d/gm)],
	['profiles', builtInProfiles.map(({ name }) => name)],
	['kernels', kernels.filter(({ boot }) => boot === undefined).map(({ name }) => name)],
])('it documents all %s', (_what, all) => {
	expect(all.length).toBeGreaterThan(0);
	expect(all.filter((name) => !named.has(name))).toEqual([]);
});

it('its links resolve', () => {
	const headings = new Set(
		[...page.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
			title
				.toLowerCase()
				.replace(/[^\w -]/g, '')
				.replaceAll(' ', '-'),
		),
	);
	const links = [...page.matchAll(/\]\(([^)]+)\)/g)].map(([, link]) => link as string);
	const own = links.filter((link) => link.startsWith('#')).map((link) => link.slice(1));
	expect(own.filter((link) => !headings.has(link))).toEqual([]);
	for (const link of links.filter((link) => !link.startsWith('#'))) read(join('docs', link.replace(/#.*/, '')));
});
