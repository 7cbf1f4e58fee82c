// SPDX-License-Identifier: Apache-2.0
/**
 * Checks where the fields of an option are: each is inside the option, and none overlaps another.
 */
import type { Profile, VniForm } from './profile.ts';
import { BadValue } from './value.ts';

/** Bytes of the longest option list: a data offset has 4 bits, in units of 4 bytes (RFC 9293). */
export const optionsMax = 40;
export const portBytes = 2;
export const addressBytes = { 4: 4, 6: 16 } as const;
const vniBytes: Readonly<Record<VniForm, number>> = { be24: 3, be32: 4, le32: 4 };

/**
 * MSS, window scale, SACK-permitted, SACK, timestamps: ordinary segments carry them, and they never
 * contain a client's address.
 */
export const tcpKinds: readonly number[] = [2, 3, 4, 5, 8];
export const profileName = /^[a-z][a-z0-9_-]{0,30}$/;

interface Field {
	readonly name: string;
	readonly from: number;
	/** The offset of the first byte after the field. */
	readonly end: number;
}

/** @throws {BadValue} when a field is not inside the option, or overlaps another one */
export function checkLayout(
	profile: Pick<Profile, 'length' | 'family' | 'addressAt' | 'portAt' | 'vipAt' | 'vportAt' | 'vniAt' | 'vniForm'>,
): void {
	const { length } = profile;
	const fields = fieldsOf(profile);
	for (const { name, from, end } of fields) {
		if (end <= length) continue;
		throw new BadValue(`must have room for the ${name}: bytes ${from} to ${end - 1} of an option of ${length} bytes`);
	}
	for (const [index, field] of fields.entries()) {
		const other = fields.slice(0, index).find(({ from, end }) => field.from < end && from < field.end);
		if (other === undefined) continue;
		const [first, second] = [
			`${field.name} (bytes ${field.from} to ${field.end - 1})`,
			`${other.name} (${other.from} to ${other.end - 1})`,
		];
		throw new BadValue(`must not have overlapping fields: ${first} and ${second}`);
	}
}

function fieldsOf({
	family,
	addressAt,
	portAt,
	vipAt,
	vportAt,
	vniAt,
	vniForm,
}: Parameters<typeof checkLayout>[0]): Field[] {
	const field = (name: string, from: number | undefined, bytes: number): Field[] =>
		from === undefined ? [] : [{ name, from, end: from + bytes }];
	return [
		...field('address', addressAt, addressBytes[family]),
		...field('port', portAt, portBytes),
		...field("virtual server's address", vipAt, addressBytes[family]),
		...field("virtual server's port", vportAt, portBytes),
		...field('VNI', vniAt, vniBytes[vniForm]),
	];
}
