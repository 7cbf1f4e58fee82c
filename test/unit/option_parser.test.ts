// SPDX-License-Identifier: Apache-2.0
/** kernel/toa_option.h, compiled for user space with sanitizers: the vectors, and random lists against a second reading. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { builtInProfiles, type Profile } from '../../daemon/config/profiles.ts';
import { formatAddress } from '../../daemon/model/address.ts';

interface Vector {
	readonly name: string;
	/** Hex. */
	readonly options: string;
	readonly expect: {
		readonly verdict: 'none' | 'malformed' | 'one' | 'conflict';
		readonly profile?: string;
		readonly family?: 4 | 6;
		readonly address?: string;
		readonly port?: number;
	};
}

const vectors = JSON.parse(
	readFileSync(new URL('../vectors/options.json', import.meta.url), 'utf8'),
) as readonly Vector[];
const active = builtInProfiles.slice(0, 3);
const folder = mkdtempSync(join(tmpdir(), 'toascope-parser-'));
const program = join(folder, 'parse_options');

beforeAll(() => {
	const source = new URL('../fixtures/parse_options.c', import.meta.url).pathname;
	const flags = ['-O1', '-g', '-Wall', '-Wextra', '-Werror', '-fsanitize=address,undefined', '-fno-sanitize-recover'];
	execFileSync('cc', [...flags, source, '-o', program]);
});

afterAll(() => rmSync(folder, { recursive: true }));

function parse(lists: readonly string[]): string[] {
	const profiles = active.map(({ id, kind, length, family, portAt, addressAt }) =>
		[id, kind, length, family, portAt ?? 255, addressAt].join(':'),
	);
	const output = execFileSync(program, profiles, {
		input: lists.map((list) => `${list}\n`).join(''),
		encoding: 'utf8',
	});
	return output.trimEnd().split('\n').map(readable);
}

/** The address of a line as text. */
function readable(line: string): string {
	const [verdict, profile, family, port, address] = line.split(' ');
	if (address === undefined) return line;
	const bytes = Buffer.from(address, 'hex');
	if (family === '4') expect(bytes.subarray(4)).toEqual(Buffer.alloc(12));
	return [verdict, profile, family, port, formatAddress(family === '4' ? 4 : 6, bytes)].join(' ');
}

it.each(vectors)('$name', ({ options, expect: expected }) => {
	const profile = active.find(({ name }) => name === expected.profile);
	const { verdict, family, port, address } = expected;
	const line = profile === undefined ? verdict : `${verdict} ${profile.id} ${family} ${port} ${address}`;
	expect(parse([options])).toEqual([line]);
});

/** RFC 9293, section 3.2, read again without a mask or a table. */
function reference(bytes: readonly number[]): string {
	const found: { profile: Profile; at: number }[] = [];
	for (let at = 0; at < bytes.length && bytes[at] !== 0; ) {
		if (bytes[at] === 1) {
			at++;
			continue;
		}
		const length = bytes[at + 1];
		if (length === undefined || length < 2 || at + length > bytes.length) return 'malformed';
		const profile = active.find((one) => one.kind === bytes[at] && one.length === length);
		if (profile !== undefined) found.push({ profile, at });
		at += length;
	}
	const peers = found.map(({ profile, at }) => {
		const start = at + profile.addressAt;
		const address = Uint8Array.from(bytes.slice(start, start + (profile.family === 4 ? 4 : 16)));
		const portAt = at + (profile.portAt ?? 0);
		const port = ((bytes[portAt] ?? 0) << 8) | (bytes[portAt + 1] ?? 0);
		return { id: profile.id, text: `${profile.family} ${port} ${formatAddress(profile.family, address)}` };
	});
	const [first] = peers;
	if (first === undefined) return 'none';
	const same = peers.every(({ text }) => text === first.text);
	return `${same ? 'one' : 'conflict'} ${first.id} ${first.text}`;
}

it('agrees with a second reading on 20,000 random lists', () => {
	const seed = Math.floor(Math.random() * 2 ** 32);
	let state = seed;
	const random = (below: number) => {
		state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
		return Math.floor((state / 2 ** 32) * below);
	};
	const lengths = [20, 20, 8, 0, 1, 2, 4, 10];
	const list = () => {
		const bytes: number[] = [];
		const size = random(41);
		while (bytes.length < size) {
			const kind = [253, 254, 254, 1, 1, 0, 8, 5, random(256)][random(9)] ?? 1;
			bytes.push(kind);
			if (kind === 0 || kind === 1) continue;
			const length = lengths[random(lengths.length)] ?? 4;
			bytes.push(length);
			for (let i = 2; i < length; i++) bytes.push(random(4));
		}
		return bytes.slice(0, size);
	};
	const lists = Array.from({ length: 20_000 }, list);
	const results = parse(lists.map((bytes) => Buffer.from(bytes).toString('hex')));
	for (const [index, bytes] of lists.entries()) {
		expect(results[index], `seed ${seed}, list ${Buffer.from(bytes).toString('hex')}`).toBe(reference(bytes));
	}
});
