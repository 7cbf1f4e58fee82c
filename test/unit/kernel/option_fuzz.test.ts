// SPDX-License-Identifier: Apache-2.0
/**
 * A short run of the fuzzers' generated lists (`npm run fuzz` runs for longer), and tests that the
 * fuzzers find broken parsers.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { builtInProfiles } from '../../../daemon/config/built_in_profiles.gen.ts';
import type { Profile } from '../../../daemon/config/profile.ts';
import { isCustomProfile, profiles } from '../../../daemon/config/profiles.ts';
import { asVector, type Finding, formatFinding, readFinding } from '../../fuzz/finding.ts';
import { compileFuzzer, readLists, readProfile, writeProfile } from '../../fuzz/programs.ts';
import { encodeSeed } from '../../fuzz/seeds.ts';
import { allVectors } from '../../kit/model/vectors.ts';
import { scaleTimeout } from '../../kit/timeouts.ts';

const header = join(import.meta.dirname, '../../../kernel/toa_option.h');
const folder = mkdtempSync(join(tmpdir(), 'toascope-fuzz-'));
const sanitizers = ['address', 'undefined'] as const;
const program = compileFuzzer('lists', join(folder, 'lists'), { compiler: 'cc', sanitizers });

afterAll(() => rmSync(folder, { recursive: true }));

function run(fuzzer: string, ...args: readonly (string | number)[]) {
	return spawnSync(fuzzer, args.map(String), { encoding: 'utf8' });
}

it('finds nothing in a million random lists, which lead to every verdict', () => {
	const seed = Math.floor(Math.random() * 2 ** 32);
	const { status, stdout, stderr } = run(program, 'generate', seed, 1_000_000, 0);
	expect(status, `seed ${seed}\n${stdout}${stderr}`).toBe(0);
	const counts = /lists (\d+) none (\d+) malformed (\d+) one (\d+) conflict (\d+) seconds [\d.]+\n$/.exec(stdout);
	const [lists = 0, ...verdicts] = (counts ?? []).slice(1).map(Number);
	expect(lists).toBe(1_000_000);
	for (const count of verdicts) expect(count).toBeGreaterThan(lists / 20);
});

it('generates the same lists from the same seed', () => {
	const counts = () => run(program, 'generate', 7, 20_000, 0).stdout.replace(/ seconds .*/, '');
	expect(counts()).toBe(counts());
	expect(run(program, 'generate', 8, 20_000, 0).stdout.replace(/ seconds .*/, '')).not.toBe(counts());
});

/** A parser with one part replaced, and what the fuzzer finds in it. */
function broken(name: string, part: string, by: string): { program: string; finding: Finding } {
	const source = readFileSync(header, 'utf8');
	expect(source.split(part)).toHaveLength(2);
	const headers = mkdtempSync(join(folder, 'broken-'));
	writeFileSync(
		join(headers, 'toa_option.h'),
		source.replace(part, () => by),
	);
	const mutant = compileFuzzer('lists', join(folder, name), { compiler: 'cc', sanitizers, headers });
	const { status, stdout, stderr } = run(mutant, 'generate', 1, 1_000_000, 0);
	expect(status).toBe(1);
	const finding = readFinding(stdout, stderr);
	if (finding === undefined) throw new Error(`no finding in: ${stdout}`);
	return { program: mutant, finding };
}

it('reports a difference as an entry of the vectors that reproduces it', () => {
	const { program: mutant, finding } = broken('kept', 'list->malformed = 1;', '');
	expect(finding.what).toBe('the two parsers differ');
	expect(finding.reference).toEqual({ verdict: 'malformed' });
	expect(finding.parser?.verdict).not.toBe('malformed');

	const entry = asVector(finding);
	const active = profiles.parse(entry.profiles);
	expect(active.map(writeProfile)).toEqual(finding.profiles.map(writeProfile));
	const read = (by: string) => readLists(by, active, [entry.options], entry.segment);
	expect(read(mutant)).toEqual([{ parser: finding.parser, reference: finding.reference }]);
	expect(read(program)).toEqual([{ parser: entry.expect, reference: entry.expect }]);
	const text = formatFinding(finding);
	expect(text).toContain(`  options         ${finding.options}\n`);
	expect(text).toContain(JSON.stringify(entry, undefined, '\t'));
});

it('reports a byte read past the end of the list, even if it is in the buffer and changes no verdict', () => {
	const { finding } = broken('past', 'left < 2 ? 0 : ', '');
	expect(finding.what).toBe('the parser crashed');
	expect(finding.parser).toBeUndefined();
	expect(finding.reference).toEqual({ verdict: 'malformed' });
	expect(finding.options).toMatch(/^([0-9a-f]{2}){1,40}$/);
	expect(finding.trace).toMatch(/AddressSanitizer: use-after-poison[\s\S]*toa_option\.h:\d+/);
});

// Compiles the fuzzer twice, with sanitizers: on a busy machine, this exceeds the usual limit.
it('reports a parser that writes into the list, and one that returns a client without a verdict for it', {
	timeout: scaleTimeout(120_000),
}, () => {
	const writes = broken(
		'writes',
		'client->family = profile->family;',
		'client->family = ((struct toa_list *)list)->bytes[at] = profile->family;',
	);
	expect(writes.finding.what).toBe('the parser changed the list');
	const gives = broken('gives', 'return TOA_FOUND_MALFORMED;', 'return client->family = 4, TOA_FOUND_MALFORMED;');
	expect(gives.finding.what).toBe('the parser wrote a client although its verdict has none');
});

const isPlain = ({ priority, pick }: Profile) => priority === 0 && pick === undefined;

it('accepts each vector as a seed of the guided fuzzer', () => {
	// a seed has no room for rules of built-in profiles
	const plain = allVectors().filter(({ profiles }) => profiles.every((one) => isCustomProfile(one) || isPlain(one)));
	for (const [index, vector] of plain.entries()) {
		const seed = join(folder, `seed-${index}`);
		writeFileSync(seed, encodeSeed(vector));
		const { status, stdout } = run(program, 'show', seed);
		expect(status, vector.name).toBe(0);
		const [, segment, layouts = '', options] = /^segment: (.*)\nprofiles: (.*)\noptions: (.*)\n$/.exec(stdout) ?? [];
		expect(segment, vector.name).toBe(vector.segment ?? 'other');
		expect(options, vector.name).toBe(vector.options);
		const sorted = (list: readonly string[]) => list.toSorted();
		expect(sorted(layouts.split(' ').map((text) => writeProfile(readProfile(text, builtInProfiles))))).toEqual(
			sorted(vector.profiles.map(writeProfile)),
		);
	}
});
