// SPDX-License-Identifier: Apache-2.0
/**
 * Writes daemon/config/built_in_profiles.gen.ts from kernel/toa_profiles.def, the table that the
 * module includes. With --check it only compares the file, and exits with 1 if it is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { checkLayout, optionsMax, profileName, tcpKinds } from '../daemon/config/profile_layout.ts';

const table = new URL('../kernel/toa_profiles.def', import.meta.url);
const target = new URL('../daemon/config/built_in_profiles.gen.ts', import.meta.url);

/** The named constants of the C table. */
const constants: Readonly<Record<string, number>> = {
	TOA_ABSENT: 0,
	TOA_VNI_24: 0,
	TOA_VNI_32: 1,
	TOA_VNI_32_LITTLE: 2,
};
const vniForms = ['be24', 'be32', 'le32'] as const;

const row = /^TOA_PROFILE\("(\w+)",((?:\s*\w+,){12})\s*("(?:[^"\\\n]|\\.)*")\)$/gm;

/** Ids of built-in profiles: an operator's own profiles have those between. */
const isBuiltInId = (id: number) => (id >= 1 && id <= 7) || (id >= 24 && id <= 31);

function readProfile([, name = '', fields = '', source = '']: RegExpExecArray) {
	const words = fields.match(/\w+/g) ?? [];
	const numbers = words.map((word) => constants[word] ?? Number(word));
	if (numbers.some((number) => !Number.isInteger(number))) throw new Error(`${table.pathname}: ${name}: ${fields}`);
	const present = (value = 0) => (value === 0 ? undefined : value);
	const [id = 0, kind = 0, length = 0, family, portAt, addressAt, onSyn, version, vipAt, vportAt, vniAt, form = 0] =
		numbers;
	const vniForm = vniForms[form];
	if ((family !== 4 && family !== 6) || (onSyn !== 0 && onSyn !== 1) || vniForm === undefined) {
		throw new Error(`${table.pathname}: ${name}: ${fields}`);
	}
	return {
		id,
		name,
		kind,
		length,
		family,
		portAt: present(portAt),
		addressAt: present(addressAt),
		onSyn: onSyn === 1,
		version: present(version),
		vipAt: present(vipAt),
		vportAt: present(vportAt),
		vniAt: present(vniAt),
		vniForm,
		source: JSON.parse(source) as string,
	} as const;
}

type Row = ReturnType<typeof readProfile>;

/** @throws Error when a row cannot be used, or two of them have something in common */
function checkRows(rows: readonly Row[]): void {
	for (const profile of rows) {
		const fail = (problem: string) => {
			throw new Error(`${table.pathname}: ${profile.name} ${problem}`);
		};
		if (!isBuiltInId(profile.id)) fail(`has the id ${profile.id}, which is not in 1 to 7 or 24 to 31`);
		if (!profileName.test(profile.name)) fail('has a name that a configuration could not contain');
		if (profile.kind < 6 || profile.kind > 255 || tcpKinds.includes(profile.kind)) {
			fail(`has the kind ${profile.kind}, which is one of TCP's own or above 255`);
		}
		if (profile.length < 6 || profile.length > optionsMax) fail(`has ${profile.length} bytes, not 6 to ${optionsMax}`);
		checkLayout(profile);
		for (const other of rows.slice(0, rows.indexOf(profile))) {
			if (other.id === profile.id) fail(`has the id of ${other.name}`);
			if (other.name === profile.name) fail('is there twice');
			if (other.kind === profile.kind && other.length === profile.length) {
				fail(`has the kind and the length of ${other.name}`);
			}
		}
	}
}

function render({ source, ...fields }: Row): string {
	const quote = (value: unknown) => (typeof value === 'string' ? `'${value}'` : String(value));
	const lines = Object.entries({ ...fields, priority: 0, pick: undefined }).map(
		([field, value]) => `\t\t${field}: ${quote(value)},`,
	);
	return [
		'\t{',
		...lines,
		`\t\tuses: ['sockopt', 'transparent'],`,
		`\t\tsource: ${JSON.stringify(source)},`,
		'\t},',
	].join('\n');
}

const definitions = readFileSync(table, 'utf8');
const rows = [...definitions.matchAll(row)].map(readProfile);
const expected = definitions.match(/^TOA_PROFILE\(/gm)?.length ?? 0;
if (rows.length !== expected) throw new Error(`${table.pathname}: parsed ${rows.length} of ${expected} profiles`);
checkRows(rows);

const text = `// SPDX-License-Identifier: Apache-2.0
/** Generated from kernel/toa_profiles.def by scripts/generate-profiles.ts: built-in profiles. */
import type { Profile } from './profile.ts';

export interface BuiltInProfile extends Profile {
\t/** The vendors that write the option, with the sources, as Markdown for the reference. */
\treadonly source: string;
}

export const builtInProfiles: readonly BuiltInProfile[] = [
${rows.map(render).join('\n')}
];
`;

if (process.argv.includes('--check')) {
	if (readFileSync(target, 'utf8') !== text) {
		process.stderr.write('daemon/config/built_in_profiles.gen.ts is stale: run npm run generate\n');
		process.exitCode = 1;
	}
} else {
	writeFileSync(target, text);
}
