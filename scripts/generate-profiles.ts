// SPDX-License-Identifier: Apache-2.0
/**
 * Writes daemon/config/built_in_profiles.gen.ts from kernel/toa_profiles.def, the table that the
 * module includes. With --check it only compares the file, and exits with 1 if it is stale.
 */
import { readFileSync, writeFileSync } from 'node:fs';

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

const row = /^TOA_PROFILE\(("\w+"(?:,\s*[\w]+){12}),\s*("(?:[^"\\\n]|\\.)*")\)$/gm;

function profile(fields: string, source: string): string {
	const [name = '', ...words] = fields.split(/,\s*/);
	const numbers = words.map((word) => constants[word] ?? Number(word));
	if (numbers.some((number) => !Number.isInteger(number))) throw new Error(`${table.pathname}: ${fields}`);
	const [id, kind, length, family, portAt, addressAt, onSyn, version, vipAt, vportAt, vniAt, vniForm = 0] = numbers;
	const present = (value: number | undefined) => (value === 0 ? 'undefined' : value);
	return `\t{
\t\tid: ${id},
\t\tname: ${name.replaceAll('"', "'")},
\t\tkind: ${kind},
\t\tlength: ${length},
\t\tfamily: ${family},
\t\tportAt: ${present(portAt)},
\t\taddressAt: ${present(addressAt)},
\t\tonSyn: ${onSyn === 1},
\t\tversion: ${present(version)},
\t\tvipAt: ${present(vipAt)},
\t\tvportAt: ${present(vportAt)},
\t\tvniAt: ${present(vniAt)},
\t\tvniForm: '${vniForms[vniForm]}',
\t\tpriority: 0,
\t\tpick: undefined,
\t\tuses: ['sockopt', 'transparent'],
\t\tsource: ${source},
\t},`;
}

const definitions = readFileSync(table, 'utf8');
const rows = [...definitions.matchAll(row)];
const expected = definitions.match(/^TOA_PROFILE\(/gm)?.length ?? 0;
if (rows.length !== expected) throw new Error(`${table.pathname}: parsed ${rows.length} of ${expected} profiles`);

const text = `// SPDX-License-Identifier: Apache-2.0
/** Generated from kernel/toa_profiles.def by scripts/generate-profiles.ts: built-in profiles. */
import type { Profile } from './profile.ts';

export interface BuiltInProfile extends Profile {
\t/** The vendors that write the option, with the sources, as Markdown for the reference. */
\treadonly source: string;
}

export const builtInProfiles: readonly BuiltInProfile[] = [
${rows.map(([, fields = '', source = '']) => profile(fields, source)).join('\n')}
];
`;

if (process.argv.includes('--check')) {
	if (readFileSync(target, 'utf8') !== text) {
		process.stderr.write(
			'daemon/config/built_in_profiles.gen.ts is stale: run sh scripts/node.sh scripts/generate-profiles.ts\n',
		);
		process.exitCode = 1;
	}
} else {
	writeFileSync(target, text);
}
