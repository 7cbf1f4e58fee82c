// SPDX-License-Identifier: Apache-2.0
/**
 * Writes daemon/capture/records/layout.gen.ts: the sizes, offsets and constants of bpf/records.h,
 * read from the BTF of build/bpf/layout.o. With --check it only compares the file, and exits with 1
 * if it is stale.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

interface BtfType {
	readonly id: number;
	readonly kind: string;
	readonly name: string;
	readonly size?: number;
	readonly type_id?: number;
	readonly nr_elems?: number;
	readonly members?: readonly { name: string; type_id: number; bits_offset: number }[];
	readonly values?: readonly { name: string; val: number }[];
}

const object = new URL('../build/bpf/layout.o', import.meta.url).pathname;
const target = new URL('../daemon/capture/records/layout.gen.ts', import.meta.url);
const dump = execFileSync('bpftool', ['btf', 'dump', 'file', object, '-j'], {
	encoding: 'utf8',
	env: { ...process.env, PATH: `${process.env['PATH']}:/usr/sbin:/sbin` },
});
const types = new Map((JSON.parse(dump) as { types: BtfType[] }).types.map((type) => [type.id, type]));

function resolve(id: number): BtfType {
	const type = types.get(id);
	if (type === undefined) throw new Error(`the BTF has no type ${id}`);
	return type.kind === 'TYPEDEF' || type.kind === 'VOLATILE' || type.kind === 'CONST'
		? resolve(type.type_id ?? 0)
		: type;
}

const camel = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function struct(type: BtfType): string {
	const fields = (type.members ?? [])
		.filter((member) => member.name !== 'reserved')
		.map((member) => `\t${camel(member.name)}: ${member.bits_offset / 8},`);
	return [`export const ${camel(type.name)}Layout = {`, `\tsize: ${type.size},`, ...fields, '} as const;'].join('\n');
}

function enumeration(type: BtfType): string {
	const values = (type.values ?? []).map((value) => `\t${value.name}: ${value.val},`);
	return [`export const ${camel(type.name)} = {`, ...values, '} as const;'].join('\n');
}

const all = [...types.values()].find((type) => type.kind === 'STRUCT' && type.name === 'everything');
if (all === undefined) throw new Error(`${object} has no struct everything`);
const structs = new Map<string, BtfType>();
const enums: BtfType[] = [];
const visit = (type: BtfType): void => {
	if (type.kind === 'STRUCT' && !structs.has(type.name)) {
		for (const member of type.members ?? []) visit(resolve(member.type_id));
		structs.set(type.name, type);
	} else if (type.kind === 'ARRAY') {
		visit(resolve(type.type_id ?? 0));
	} else if (type.kind === 'ENUM') {
		enums.push(type);
	}
};
for (const member of all.members ?? []) visit(resolve(member.type_id));

const text = `${[
	'// SPDX-License-Identifier: Apache-2.0',
	'/** Generated from bpf/records.h by scripts/generate-layout.ts. Sizes and offsets are in bytes. */',
	'',
	[...structs.values()].map(struct).join('\n\n'),
	'',
	enums.map(enumeration).join('\n\n'),
].join('\n')}\n`;

if (process.argv.includes('--check')) {
	if (readFileSync(target, 'utf8') !== text) {
		process.stderr.write('daemon/capture/records/layout.gen.ts is stale: run npm run generate\n');
		process.exitCode = 1;
	}
} else {
	writeFileSync(target, text);
}
