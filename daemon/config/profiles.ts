// SPDX-License-Identifier: Apache-2.0
/** Profiles: how a vendor lays out the TOA option. The capture side makes the kernel's struct toa_table of them. */
import { z } from 'zod';
import { balancerNames } from './balancer_names.ts';
import { nearest } from './nearest.ts';
import { alternatives, BadValue, integer, onOff, reading, word } from './value.ts';

/** Offsets count from the option's kind byte; a port has 2 bytes, an address 4 or 16. */
export interface Profile {
	/** Stable number, 1 to 31. Own profiles count from 8 to 23 in the order of the file, built-in ones have the others. */
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
	/** Options of a profile with a lower priority give way to this one's, and are no conflict. */
	readonly priority: number;
	/** Which of several options of this profile counts; undefined: the first, and others that differ are a conflict. */
	readonly pick: 'first' | 'last' | undefined;
}

const listError = 'must be a list of 1 to 16 profiles such as [nat64, toa6, toa4]';
const profilesMax = 16;
const firstOwnId = 8;
const lastOwnId = firstOwnId + profilesMax - 1;
const priorityMax = 100;
const optionsMax = 40;
const portBytes = 2;

/** A profile that toascope knows by name. */
export interface BuiltInProfile extends Profile {
	/** Who writes it, and where that can be read: Markdown for the reference. */
	readonly source: string;
}

function builtIn(
	id: number,
	name: string,
	kind: number,
	length: number,
	portAt: number | undefined,
	addressAt: number,
	source: string,
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
		priority: 0,
		pick: undefined,
		source,
	} satisfies BuiltInProfile;
}

/** The profiles that toascope knows by name. Ids are in pinned counters: never reuse one. */
export const builtInProfiles: readonly BuiltInProfile[] = [
	builtIn(
		1,
		'nat64',
		253,
		20,
		2,
		4,
		'NAT64 load balancers (Huawei Cloud, Tencent Cloud, Alibaba Cloud): `TCPOPT_TOA_V6` in `net/vtoa/vtoa.h` of the Anolis OS kernel',
	),
	builtIn(2, 'toa6', 254, 20, 2, 4, 'DPVS with IPv6 or NAT64: `kmod/toa/toa.h` of iqiyi/dpvs'),
	builtIn(
		3,
		'toa4',
		254,
		8,
		2,
		4,
		'LVS FULLNAT: `kernel/net/toa/toa.h` of alibaba/LVS; Huawei Cloud ELB: `src/toa.h` of Huawei/TCP_option_address; DPVS: `kmod/toa/toa.h` of iqiyi/dpvs',
	),
	builtIn(4, 'akamai4', 253, 8, 2, 4, 'UCloud ULB for clients of Akamai: ucloud/ucloud-toa'),
	builtIn(
		5,
		'tencent',
		200,
		8,
		2,
		4,
		'Tencent Cloud (CLB before SNAT, GAAP, Anti-DDoS): `TCPOPT_ADDR` in their documents on TOA; UCloud ULB: `toa.h` of ucloud/ucloud-toa; ip_vs_ca: yubo/ip_vs_ca',
	),
	builtIn(
		6,
		'cdn4',
		28,
		7,
		undefined,
		3,
		'Alibaba Cloud CDN: `TCPOPT_TOA` in the kernel module of "Alibaba CDN TCP Option Address"; Akamai',
	),
	builtIn(7, 'cdn6', 28, 19, undefined, 3, 'Alibaba Cloud CDN: the eBPF program of "Alibaba CDN TCP Option Address"'),
];

/** Whether a profile is one of the configuration's own. */
export function isOwn({ id }: Pick<Profile, 'id'>): boolean {
	return id >= firstOwnId && id <= lastOwnId;
}

const names = builtInProfiles.map(({ name }) => name);

// MSS, window scale, both SACKs, timestamps: on ordinary segments, and never an address
const tcpKinds = [2, 3, 4, 5, 8];
const kindError = `must be an option kind from 9 to 255, or 6 or 7: ${alternatives(tcpKinds.map(String))} are TCP's own, 0 and 1 have no length`;

const builtInNameError =
	'must not be the name of a built-in profile: beside one nothing may stand but priority and pick';

const ruleKeys = {
	priority: integer(0, priorityMax).prefault(0).meta({
		description:
			'Where a connection has options of several profiles, the highest counts and the lower ones are no conflict. 0 to 100, default 0.',
	}),
	pick: word('first', 'last').optional().meta({
		description:
			'Where several options of this profile come on one segment (a chain of balancers), which of them counts. Without it the first does, and others that differ are a `conflict`.',
	}),
};

/** The keys that say of a built-in profile how it goes with others. */
const ruledKeys = z
	.looseObject({ name: z.enum(names as [string, ...string[]]), ...ruleKeys })
	.superRefine((value, context) => {
		const others = Object.keys(value).filter((name) => name !== 'name' && !(name in ruleKeys));
		if (others.length > 0) context.addIssue({ code: 'custom', path: ['name'], message: builtInNameError });
	});

/** The keys of an own profile. */
export const ownProfileKeys = z.strictObject(
	{
		name: z
			.string({ error: 'must be a name' })
			.regex(/^[a-z][a-z0-9_-]{0,30}$/, {
				error: 'must be lower-case letters, digits, - and _, a letter first, at most 31',
			})
			.refine((name) => !names.includes(name), { error: builtInNameError })
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
		...ruleKeys,
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
		priority: value.priority,
		pick: value.pick,
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

const builtInNamed = (name: string) => builtInProfiles.find((profile) => profile.name === name) as Profile;

const named = z.enum(names as [string, ...string[]]).transform(builtInNamed);

const ruled = ruledKeys.transform(({ name, priority, pick }): Profile => ({ ...builtInNamed(name), priority, pick }));

/** Names that somebody may look for here, and what to write instead. */
const otherNames: Readonly<Record<string, string>> = {
	ucloud: 'akamai4 for kind 253 with length 8, or balancer: ucloud-ulb for all that UCloud sends',
};

/** What is wrong with an entry that is none of the forms. */
function entryError(input: unknown): string {
	const may = `must be ${alternatives(names)}, or a map that describes a profile of your own`;
	if (typeof input !== 'string') return may;
	const other = otherNames[input];
	if (other !== undefined) return `is no profile: write ${other}`;
	if (balancerNames.some((name) => name === input)) return `is a balancer and no profile: write balancer: ${input}`;
	const near = nearest(input, names);
	return near === undefined ? may : `${may}; did you mean ${near}?`;
}

/** The active profiles: names of built-in ones, and maps that describe own ones. */
export const profiles = reading(
	z
		.array(z.union([named, ownProfile, ruled], { error: ({ input }) => entryError(input) }), { error: listError })
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
	const { name, priority, pick } = profile;
	const rules = { ...(priority === 0 ? {} : { priority }), ...(pick === undefined ? {} : { pick }) };
	if (!isOwn(profile)) return Object.keys(rules).length === 0 ? name : { name, ...rules };
	return {
		name,
		kind: profile.kind,
		length: profile.length,
		family: `ipv${profile.family}`,
		...(profile.portAt === undefined ? {} : { port_at: profile.portAt }),
		address_at: profile.addressAt,
		syn: profile.onSyn ? 'on' : 'off',
		...rules,
	};
}
