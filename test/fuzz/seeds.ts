// SPDX-License-Identifier: Apache-2.0
/** The vectors as inputs of the guided fuzzer (decode_case() in option_case.c). */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { builtInProfiles } from '../../daemon/config/profiles.ts';
import type { Vector } from '../fixtures/vectors.ts';

const highBit = 0x80;

/** The longest input that means anything: all profiles own ones, a full list. */
export const inputMax = 2 + 16 * 5 + 40;

export function encodeSeed({ segment, options, profiles }: Vector): Buffer {
	const own = profiles.filter(({ id }) => id > builtInProfiles.length);
	const mask = profiles
		.filter(({ id }) => id <= builtInProfiles.length)
		.reduce((sum, { id }) => sum | (1 << (id - 1)), 0);
	const layouts = own.flatMap(({ kind, length, family, portAt, addressAt, onSyn }) => [
		kind,
		length,
		family | (onSyn ? highBit : 0),
		portAt ?? 255,
		addressAt,
	]);
	const head = Buffer.from([mask | (segment === 'syn' ? highBit : 0), own.length, ...layouts]);
	return Buffer.concat([head, Buffer.from(options, 'hex')]);
}

/** Fills `folder` anew: one file for each vector. */
export function writeSeeds(folder: string, vectors: readonly Vector[]): void {
	rmSync(folder, { recursive: true, force: true });
	mkdirSync(folder, { recursive: true });
	for (const [index, vector] of vectors.entries()) {
		writeFileSync(join(folder, `vector-${index}`), encodeSeed(vector));
	}
}
