// SPDX-License-Identifier: Apache-2.0
/** What the kernel module states again: the version, the built-in profiles, the numbers of verdicts and segments. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { builtInProfiles } from '../../daemon/config/built_in_profiles.ts';

const root = join(import.meta.dirname, '../..');
const text = (path: string): string => readFileSync(join(root, path), 'utf8');

it.each([
	['kernel/toa_main.c', /MODULE_VERSION\("(.*)"\)/],
	['kernel/dkms.conf', /PACKAGE_VERSION="(.*)"/],
])('%s has the version of the package', (path, pattern) => {
	expect(pattern.exec(text(path))?.[1]).toBe(JSON.parse(text('package.json')).version);
});

/** An offset, as C has it; what is not written is 0. */
const place = (text = 'TOA_ABSENT') => (text === 'TOA_ABSENT' ? undefined : Number(text));

it('the built-in profiles are those of the configuration', () => {
	const rows = text('kernel/toa_profiles.c').matchAll(/\{ "(\w+)", \{ (.*?) \} \}/g);
	const stated = [...rows].map(([, name, numbers = '']) => {
		const [id, kind, length, family, port, addressAt, onSyn, version, , , , ...virtual] = numbers.split(', ');
		const [vipAt, vportAt, vniAt, vniForm] = virtual;
		return {
			id: Number(id),
			name,
			kind: Number(kind),
			length: Number(length),
			portAt: place(port),
			addressAt: place(addressAt),
			vipAt: place(vipAt),
			vportAt: place(vportAt),
			vniAt: place(vniAt),
			vniForm: vniForm === 'TOA_VNI_32_LITTLE' ? 'le32' : 'be24',
			family: Number(family),
			onSyn: onSyn === '1',
			version: version === '0' ? undefined : Number(version),
		};
	});
	// priority, pick and uses are the configuration's to say
	expect(stated).toEqual(
		builtInProfiles.map(({ source: _, priority: __, pick: ___, uses: ____, ...layout }) => layout),
	);
	const described = /Known: (.*?); an own/.exec(text('kernel/toa_profiles.c'))?.[1];
	expect(described?.split(', ')).toEqual(builtInProfiles.map(({ name }) => name));
});

describe.each(['VERDICT', 'SEGMENT'])('the numbers of each %s', (what) => {
	const numbers = (path: string, prefix: string): Record<string, string> =>
		Object.fromEntries(
			[...text(path).matchAll(new RegExp(`\\b${prefix}${what}_(\\w+) = (\\d+)`, 'g'))].map(([, name, number]) => [
				name,
				number,
			]),
		);

	it('are those of bpf/enums.h', () => {
		const stated = numbers('kernel/toa_verdict.h', 'TOA_');
		expect(Object.keys(stated).length).toBeGreaterThan(3);
		expect(numbers('bpf/enums.h', '')).toEqual(stated);
	});
});
