// SPDX-License-Identifier: Apache-2.0
/**
 * Parses a finding that a fuzzer's program reports on standard output, and formats it for display
 * and as an entry of the vectors.
 */
import { builtInProfiles } from '../../daemon/config/built_in_profiles.gen.ts';
import type { Profile } from '../../daemon/config/profile.ts';
import { formatProfile } from '../../daemon/config/profiles.ts';
import type { Expected, VectorEntry } from '../kit/model/vectors.ts';
import { readProfile, readVerdict } from './programs.ts';

export interface Finding {
	/** What happened: the parsers differ, or the parser crashed or did not terminate. */
	readonly what: string;
	readonly segment: 'syn' | 'fastopen' | 'other';
	/** Hex. */
	readonly options: string;
	readonly profiles: readonly Profile[];
	/** Undefined after a crash. */
	readonly parser: Expected | undefined;
	readonly reference: Expected | undefined;
	/** `KIND:LENGTH` of the unknown option for each parser; undefined if they agree. */
	readonly unknown: { readonly parser: string; readonly reference: string } | undefined;
	/** The report of a sanitizer, with the place in the code. Empty if there is none. */
	readonly trace: string;
}

const traceLines = 12;

/** Extracts the report from the sanitizer's first line to the end of its first stack. */
function readTrace(stderr: string): string {
	const lines = stderr.split('\n');
	const first = lines.findIndex((line) => /==ERROR: |: runtime error: /.test(line));
	if (first < 0) return '';
	const blank = lines.indexOf('', first);
	return lines.slice(first, Math.min(blank < 0 ? lines.length : blank, first + traceLines)).join('\n');
}

/** The finding in a program's output (report_finding() in compare.c), if there is one. */
export function readFinding(stdout: string, stderr = ''): Finding | undefined {
	const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(stdout)?.[1];
	const what = field('finding');
	if (what === undefined) return undefined;
	const profiles = (field('profiles')?.split(' ') ?? []).map((text) => readProfile(text, builtInProfiles));
	const verdict = (text: string | undefined) => (text === undefined ? undefined : readVerdict(text, profiles));
	const segment = field('segment');
	const [parser = '', reference = ''] = field('unknown')?.split(' ') ?? [];
	return {
		what,
		segment: segment === 'syn' || segment === 'fastopen' ? segment : 'other',
		options: field('options') ?? '',
		profiles,
		parser: verdict(field('parser')),
		reference: verdict(field('reference')),
		unknown: parser === reference ? undefined : { parser, reference },
		trace: readTrace(stderr),
	};
}

function formatVerdict(verdict: Expected | undefined): string {
	if (verdict === undefined) return 'no result';
	const { verdict: name, profile, address, port, virtual_server: server } = verdict;
	const client = profile === undefined ? name : `${name} ${profile} ${address} port ${port}`;
	if (server === undefined) return client;
	return `${client}, virtual server ${server.address} port ${server.port} VNI ${server.vni ?? 'none'}`;
}

/** The entry for test/vectors/options.json. It expects the verdict of the reference parser. */
export function asVector(finding: Finding): VectorEntry {
	return {
		name: 'DESCRIBE WHAT IT SHOWS',
		...(finding.segment === 'other' ? {} : { segment: finding.segment }),
		options: finding.options,
		profiles: finding.profiles.map(formatProfile),
		expect: finding.reference ?? { verdict: 'none' },
	};
}

export function formatFinding(finding: Finding): string {
	const profiles = finding.profiles.map((profile) => JSON.stringify(formatProfile(profile)));
	return [
		`FINDING: ${finding.what}`,
		`  segment         ${finding.segment}`,
		`  options         ${finding.options || '(empty)'}`,
		`  profiles        ${profiles.join('\n                  ') || '(none)'}`,
		`  parser          ${formatVerdict(finding.parser)}`,
		`  reference       ${formatVerdict(finding.reference)}`,
		...(finding.unknown === undefined
			? []
			: [`  unknown option  ${finding.unknown.parser} by the parser, ${finding.unknown.reference} by the reference`]),
		...(finding.trace === '' ? [] : ['', finding.trace]),
		'',
		'Decide by the rules which parser is right (docs/testing.md, "Fuzzing"). Then add the list with the right',
		'verdict to test/vectors/options.json, so that it tests every build of the parser, and fix the wrong one:',
		'',
		JSON.stringify(asVector(finding), undefined, '\t'),
	].join('\n');
}
