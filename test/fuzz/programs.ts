// SPDX-License-Identifier: Apache-2.0
/** Compiles the fuzzers' C programs, and converts profiles and verdicts to and from their text. */
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Profile } from '../../daemon/config/profile.ts';
import { formatAddress } from '../../daemon/model/address.ts';
import type { Expected } from '../kit/model/vectors.ts';

const folder = import.meta.dirname;
const common = ['compare', 'option_case', 'parser', 'reference_parser'];
const sources = { lists: ['lists', 'generate_layouts', 'generate_list', ...common], guided: ['guided', ...common] };

export interface Build {
	readonly compiler: 'cc' | 'clang';
	/** For -fsanitize. */
	readonly sanitizers: readonly ('address' | 'undefined' | 'fuzzer')[];
	/** The directory of toa_option.h; the product's own if not given. */
	readonly headers?: string;
}

/**
 * Compiles `lists` (test/fuzz/lists.c) or `guided` (libFuzzer) to `program`.
 * @throws with the output of the compiler
 */
export function compileFuzzer(name: keyof typeof sources, program: string, build: Build): string {
	mkdirSync(dirname(program), { recursive: true });
	const flags = ['-std=gnu11', '-O2', '-g', '-Wall', '-Wextra', '-Werror'];
	if (build.sanitizers.length > 0) {
		flags.push(`-fsanitize=${build.sanitizers.join(',')}`, '-fno-sanitize-recover=all');
	}
	const headers = build.headers ?? join(folder, '../../kernel');
	const files = sources[name].map((source) => join(folder, `${source}.c`));
	execFileSync(build.compiler, [...flags, `-I${headers}`, '-o', program, ...files], { stdio: 'pipe' });
	return program;
}

const picks: readonly Profile['pick'][] = [undefined, 'first', 'last'];

/** enum toa_vni */
export const vniForms: readonly Profile['vniForm'][] = ['be24', 'be32', 'le32'];

/** Formats a profile as write_layout() in option_case.c does. */
export function writeProfile(profile: Profile): string {
	const { id, kind, length, family, portAt, addressAt, onSyn, version, priority, pick } = profile;
	const { vipAt, vportAt, vniAt, vniForm } = profile;
	const layout = [id, kind, length, family, portAt ?? 255, addressAt ?? 0, onSyn ? 1 : 0, version ?? 0];
	const server = [vipAt ?? 0, vportAt ?? 0, vniAt ?? 0, vniForms.indexOf(vniForm)];
	return [...layout, priority, picks.indexOf(pick), ...server].join(':');
}

/** Reads a profile that a fuzzer wrote. Custom profiles (ids from 8) have no name in the text. */
export function readProfile(text: string, builtIn: readonly Profile[]): Profile {
	const numbers = text.split(':').map(Number);
	const [id = 0, kind = 0, length = 0, family, portAt, addressAt, onSyn, version, priority = 0, pick = 0] = numbers;
	const [vipAt, vportAt, vniAt, vniForm = 0] = numbers.slice(10);
	const known = builtIn.find((profile) => profile.id === id);
	if (known !== undefined) return { ...known, priority, pick: picks[pick] };
	return {
		id,
		name: `own${id}`,
		kind,
		length,
		family: family === 4 ? 4 : 6,
		portAt: portAt === 255 ? undefined : portAt,
		addressAt: addressAt || undefined,
		onSyn: onSyn === 1,
		version: version === 0 ? undefined : version,
		priority,
		pick: picks[pick],
		vipAt: vipAt || undefined,
		vportAt: vportAt || undefined,
		vniAt: vniAt || undefined,
		vniForm: vniForms[vniForm] ?? 'be24',
		uses: ['sockopt', 'transparent'],
	};
}

/** 16 bytes in hex. */
function readAddress(hex: string, family: string | undefined): string {
	const bytes = Buffer.from(hex, 'hex');
	if (family === '4' && bytes.subarray(4).some((byte) => byte !== 0)) {
		throw new Error(`the bytes after an IPv4 address are not zero: ${hex}`);
	}
	return formatAddress(family === '4' ? 4 : 6, bytes);
}

/** `FAMILY PORT VNI ADDRESS`; `-`: no VNI. */
function readVirtualServer(text: string): NonNullable<Expected['virtual_server']> {
	const [family, port, vni, address = ''] = text.split(' ');
	return {
		address: readAddress(address, family),
		port: Number(port),
		...(vni === '-' ? {} : { vni: Number(vni) }),
	};
}

/**
 * Reads a verdict that a program wrote: `none`, `malformed`, or `one` or `conflict` with `ID FAMILY
 * PORT ADDRESS`; followed by `vip ...` if an option names a virtual server.
 */
export function readVerdict(line: string, active: readonly Profile[]): Expected {
	const [result = '', server] = line.split(' vip ');
	const virtual = server === undefined ? {} : { virtual_server: readVirtualServer(server) };
	const [verdict, id, family, port, address = ''] = result.split(' ');
	if (verdict === 'none' || verdict === 'malformed') return { verdict, ...virtual };
	if (verdict !== 'one' && verdict !== 'conflict') throw new Error(`not a verdict: ${line}`);
	return {
		verdict,
		profile: active.find((profile) => profile.id === Number(id))?.name ?? `id ${id}`,
		family: family === '4' ? 4 : 6,
		address: readAddress(address, family),
		port: Number(port),
		...virtual,
	};
}

/**
 * Runs `lists` on lists of such a segment. Returns the parser's verdict and the reference's for
 * each.
 */
export function readLists(
	program: string,
	active: readonly Profile[],
	lists: readonly string[],
	segment?: 'syn' | 'fastopen',
) {
	const command = segment === undefined ? 'read' : `read-${segment}`;
	const output = execFileSync(program, [command, ...active.map(writeProfile)], {
		input: lists.map((list) => `${list}\n`).join(''),
		encoding: 'utf8',
		maxBuffer: 1 << 28,
	});
	return output
		.trimEnd()
		.split('\n')
		.map((line) => {
			const [parser = '', reference = ''] = line.split('; ');
			return { parser: readVerdict(parser, active), reference: readVerdict(reference, active) };
		});
}

/**
 * `count` lists from the generator for these profiles, in hex. The same seed gives the same lists.
 */
export function generateLists(program: string, active: readonly Profile[], seed: number, count: number): string[] {
	const output = execFileSync(program, ['print', String(seed), String(count), ...active.map(writeProfile)], {
		encoding: 'utf8',
		maxBuffer: 1 << 28,
	});
	return output.split('\n').slice(0, count);
}
