// SPDX-License-Identifier: Apache-2.0
/**
 * The addon of @toascope/node requires no library, so that one binary can be loaded by a Node of
 * glibc and by one of musl.
 */

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { packageDirectory } from '../../kit/node_package/built.ts';

const machines = { x64: 'X86-64', arm64: 'AArch64' } as const;

/** The calls of the addon, which the process that loads it has. */
const outside = [
	'__errno_location',
	'getsockopt',
	'napi_create_arraybuffer',
	'napi_create_function',
	'napi_create_int32',
	'napi_create_reference',
	'napi_get_cb_info',
	'napi_get_value_int32',
	'napi_set_named_property',
];

it.for(Object.entries(machines))('the addon for %s', ([architecture, machine], { skip }) => {
	const file = join(packageDirectory, `dist/native/linux-${architecture}.node`);
	if (!existsSync(file)) return skip('lld is not installed: it is not compiled for other architectures');
	const read = (option: string) => execFileSync('readelf', ['-W', option, file], { encoding: 'utf8' });
	expect(read('--file-header')).toContain(machine);
	expect(read('--dynamic')).not.toMatch(/NEEDED|VERNEED|TEXTREL/);
	const symbols = [...read('--dyn-syms').matchAll(/ (GLOBAL|WEAK) +\S+ +(\S+) (\S+)$/gm)];
	const undefinedSymbols = symbols.filter(([, , section]) => section === 'UND').map(([, , , name]) => name);
	expect(undefinedSymbols.sort()).toEqual(outside);
	// no state that threads would share
	expect(read('--section-headers')).not.toMatch(/ \.(data|bss|tdata|tbss) /);
});
