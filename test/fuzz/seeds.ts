// SPDX-License-Identifier: Apache-2.0
/** Encodes the vectors as inputs of the guided fuzzer (decode_case() in option_case.c). */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtInProfiles } from '../../daemon/config/built_in_profiles.gen.ts';
import type { Profile } from '../../daemon/config/profile.ts';
import { isCustomProfile } from '../../daemon/config/profiles.ts';
import type { Vector } from '../kit/model/vectors.ts';
import { vniForms } from './programs.ts';

const highBit = 0x80;
const picks: readonly Profile['pick'][] = [undefined, 'first', 'last'];

/** The longest useful input: the maximum number of own profiles, and a full list. */
export const inputMax = 3 + 16 * 9 + 40;

const segments = [undefined, 'syn', 'fastopen'] as const;

export function encodeSeed({ segment, options, profiles }: Vector): Buffer {
	const own = profiles.filter(isCustomProfile);
	const mask = profiles
		.filter((profile) => !isCustomProfile(profile))
		.reduce((sum, { id }) => sum | (1 << builtInProfiles.findIndex((one) => one.id === id)), 0);
	const layouts = own.flatMap((profile) => [
		profile.kind,
		profile.length,
		profile.family | (profile.onSyn ? highBit : 0) | (vniForms.indexOf(profile.vniForm) << 4),
		profile.portAt ?? 255,
		profile.addressAt ?? 0,
		profile.priority | (picks.indexOf(profile.pick) << 6),
		profile.vipAt ?? 0,
		profile.vportAt ?? 0,
		profile.vniAt ?? 0,
	]);
	const bits = mask | (segments.indexOf(segment) << 14);
	const head = Buffer.from([bits & 0xff, bits >> 8, own.length, ...layouts]);
	return Buffer.concat([head, Buffer.from(options, 'hex')]);
}

/** Replaces the contents of `folder` by one file for each vector. */
export function writeSeeds(folder: string, vectors: readonly Vector[]): void {
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	for (const [index, vector] of vectors.entries()) {
		writeFileSync(join(folder, `vector-${index}`), encodeSeed(vector));
	}
}
