// SPDX-License-Identifier: Apache-2.0
/** Profiles: how a vendor lays out the TOA option. The capture side makes the kernel's struct toa_table of them. */
import { z } from 'zod';
import { alternatives, BadValue, integer, onOff, reading, word } from './value.ts';

/** Offsets count from the option's kind byte; a port has 2 bytes, an address 4 or 16. */
export interface Profile {
	/** Stable number, 1 to 31. Built-in profiles have 1 to 7, own ones count from 8 in the order of the file. */
	readonly id: number;
	readonly name: string;
	readonly kind: number;
	/** Of the whole option. */
	readonly length: number;
	/** Undefined: the option carries no port. */
	readonly portAt: number | undefined;
	readonly addressAt: number;
	readonly family: 4 | 6;
	/** Looked for on the SYN as well. */
	readonly onSyn: boolean;
	/** What byte 2 must be; undefined: the layout has no version. */
	readonly version: number | undefined;
}

const listError = 'must be a list of 1 to 16 profiles such as [nat64, toa6, toa4]';
const profilesMax = 16;
const firstOwnId = 8;
const optionsMax = 40;
const portBytes = 2;

function builtIn(
	id: number,
	name: string,
	kind: number,
	length: number,
	portAt: number | undefined,
	addressAt: number,
) {
	const family = length < 16 ? 4 : 6;
	const cdn = kind === 28;
	return {
		id,
		name,
		kind,
		length,
		portAt,
		addressAt,
		family,
		onSyn: cdn,
		version: cdn ? 1 : undefined,
	} satisfies Profile;
}

/** The profiles that toascope knows by name. Ids are in pinned counters: never reuse one. */
export const builtInProfiles: readonly Profile[] = [
	builtIn(1, 'nat64', 253, 20, 2, 4),
	builtIn(2, 'toa6', 254, 20, 2, 4),
	builtIn(3, 'toa4', 254, 8, 2, 4),
	builtIn(4, 'ucloud', 253, 8, 2, 4),
	builtIn(5, 'tencent', 200, 8, 2, 4),
	builtIn(6, 'cdn4', 28, 7, undefined, 3),
	builtIn(7, 'cdn6', 28, 19, undefined, 3),
];

const names = builtInProfiles.map(({ name }) => name);

// MSS, window scale, both SACKs, timestamps: on ordinary segments, and never an address
const tcpKinds = [2, 3, 4, 5, 8];
const kindError = `must be an option kind from 9 to 255, or 6 or 7: ${alternatives(tcpKinds.map(String))} are TCP's own, 0 and 1 have no length`;

/** The keys of an own profile. */
export const ownProfileKeys = z.strictObject(
	{
		name: z
			.string({ error: 'must be a name' })
			.regex(/^[a-z][a-z0-9_-]{0,30}$/, {
				error: 'must be lower-case letters, digits, - and _, a letter first, at most 31',
			})
			.refine((name) => !names.includes(name), { error: 'must not be the name of a built-in profile' })
			.meta({ description: 'Name: the label `profile` of the metrics.' }),
		kind: z
			.int({ error: kindError })
			.min(2, { error: kindError })
			.max(255, { error: kindError })
			.refine((kind) => !tcpKinds.includes(kind), { error: kindError })
			.meta({ description: 'Kind of the TCP option.' }),
		length: integer(6, optionsMax).meta({
			description: 'Length of the whole option in bytes, kind and length included.',
		}),
		family: word('ipv4', 'ipv6').meta({ description: 'Family of the address.' }),
		port_at: integer(2, optionsMax - portBytes)
			.optional()
			.meta({ description: 'Offset of the port from the kind byte. Without it the option carries no port.' }),
		address_at: integer(2, optionsMax - 4).meta({ description: 'Offset of the address from the kind byte.' }),
		syn: onOff.prefault('off').meta({ description: 'Looked for on the SYN as well.' }),
	},
	{ error: `must be ${alternatives(names)}, or a map that describes a profile of your own` },
);

type Own = Omit<Profile, 'id'>;

const ownProfile = reading(ownProfileKeys, (value): Own => {
	const family = value.family === 'ipv4' ? 4 : 6;
	const own = {
		name: value.name,
		kind: value.kind,
		length: value.length,
		portAt: value.port_at,
		addressAt: value.address_at,
		family,
		onSyn: value.syn,
		version: undefined,
	} satisfies Own;
	checkLayout(own);
	return own;
});

function checkLayout({ length, portAt, addressAt, family }: Own): void {
	const addressEnd = addressAt + (family === 4 ? 4 : 16);
	if (addressEnd > length) {
		throw new BadValue(
			`must have room for the address: bytes ${addressAt} to ${addressEnd - 1} of an option of ${length}`,
		);
	}
	if (portAt === undefined) return;
	const portEnd = portAt + portBytes;
	if (portEnd > length) {
		throw new BadValue(`must have room for the port: bytes ${portAt} to ${portEnd - 1} of an option of ${length}`);
	}
	if (portAt < addressEnd && addressAt < portEnd) {
		throw new BadValue(
			`must not have port (bytes ${portAt} to ${portEnd - 1}) and address (${addressAt} to ${addressEnd - 1}) overlap`,
		);
	}
}

const named = z
	.enum(names as [string, ...string[]])
	.transform((name) => builtInProfiles[names.indexOf(name)] as Profile);

/** The active profiles: names of built-in ones, and maps that describe own ones. */
export const profiles = reading(
	z
		.array(
			z.union([named, ownProfile], {
				error: `must be ${alternatives(names)}, or a map that describes a profile of your own`,
			}),
			{ error: listError },
		)
		.min(1, { error: listError })
		.max(profilesMax, { error: listError }),
	(list): Profile[] => {
		let nextId = firstOwnId;
		const result: Profile[] = [];
		for (const entry of list) {
			const profile = 'id' in entry ? entry : { id: nextId++, ...entry };
			const same = result.find(({ name }) => name === profile.name);
			if (same !== undefined) throw new BadValue(`must not name ${profile.name} twice`);
			const twin = result.find(({ kind, length }) => kind === profile.kind && length === profile.length);
			if (twin !== undefined) {
				throw new BadValue(
					`must not have two profiles of kind ${profile.kind} and length ${profile.length}: ${twin.name} and ${profile.name}`,
				);
			}
			result.push(profile);
		}
		return result;
	},
);

/** As it is written in the file. */
export function formatProfile(profile: Profile): string | Record<string, string | number> {
	if (profile.id < firstOwnId) return profile.name;
	return {
		name: profile.name,
		kind: profile.kind,
		length: profile.length,
		family: `ipv${profile.family}`,
		...(profile.portAt === undefined ? {} : { port_at: profile.portAt }),
		address_at: profile.addressAt,
		syn: profile.onSyn ? 'on' : 'off',
	};
}
