// SPDX-License-Identifier: Apache-2.0
/** Profiles: how a vendor lays out the TOA option. The capture side makes the kernel's struct toa_table of them. */
import { z } from 'zod';
import { balancerNames } from './balancer_names.ts';
import { builtInProfiles } from './built_in_profiles.ts';
import { nearest } from './nearest.ts';
import { addressBytes, checkLayout, portBytes } from './profile_layout.ts';
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
	/** Undefined: the option names the virtual server and no client. */
	readonly addressAt: number | undefined;
	/** Of the client's address and of the virtual server's. */
	readonly family: 4 | 6;
	/** Address of the virtual server, which the client called at the balancer. */
	readonly vipAt: number | undefined;
	readonly vportAt: number | undefined;
	/** Number of its virtual network. */
	readonly vniAt: number | undefined;
	readonly vniForm: VniForm;
	/** Looked for on the SYN as well. */
	readonly onSyn: boolean;
	/** What byte 2 must be; undefined: the layout has no version. */
	readonly version: number | undefined;
	/** Options of a profile with a lower priority give way to this one's, and are no conflict. */
	readonly priority: number;
	/** Which of several options of this profile counts; undefined: the first, and others that differ are a conflict. */
	readonly pick: 'first' | 'last' | undefined;
	/** What answers with its client besides the records: getsockopt(), or accept() and getpeername(). */
	readonly uses: readonly ProfileUse[];
}

/** 24 bits in network order (RFC 7348), or 32 in network order, or 32 in little-endian order. */
export const vniForms = ['be24', 'be32', 'le32'] as const;
export type VniForm = (typeof vniForms)[number];

export const profileUses = ['sockopt', 'transparent'] as const;
export type ProfileUse = (typeof profileUses)[number];

/** Whether it serves all that asks. */
export function servesAll({ uses }: Pick<Profile, 'uses'>): boolean {
	return uses.length === profileUses.length;
}

const listError = 'must be a list of 1 to 16 profiles such as [nat64, toa6, toa4]';
const profilesMax = 16;
const firstOwnId = 8;
const lastOwnId = firstOwnId + profilesMax - 1;
const priorityMax = 100;
const optionsMax = 40;

export function namesVirtualServer({ vipAt }: Pick<Profile, 'vipAt'>): boolean {
	return vipAt !== undefined;
}

/** Whether a profile is one of the configuration's own. */
export function isOwn({ id }: Pick<Profile, 'id'>): boolean {
	return id >= firstOwnId && id <= lastOwnId;
}

const names = builtInProfiles.map(({ name }) => name);

// MSS, window scale, both SACKs, timestamps: on ordinary segments, and never an address
const tcpKinds = [2, 3, 4, 5, 8];
const kindError = `must be an option kind from 9 to 255, or 6 or 7: ${alternatives(tcpKinds.map(String))} are TCP's own, 0 and 1 have no length`;

const builtInNameError =
	'must not be the name of a built-in profile: beside one nothing may stand but priority, pick and uses';

const usesError = 'must be a list of sockopt, transparent or both';

const ruleKeys = {
	priority: integer(0, priorityMax).prefault(0).meta({
		description:
			'Where a connection has options of several profiles, the highest counts and the lower ones are no conflict. 0 to 100, default 0.',
	}),
	pick: word('first', 'last').optional().meta({
		description:
			'Where several options of this profile come on one segment (a chain of balancers), which of them counts. Without it the first does, and others that differ are a `conflict`.',
	}),
	uses: z
		.array(word(...profileUses), { error: usesError })
		.min(1, { error: usesError })
		.transform((list) => profileUses.filter((use) => list.includes(use)))
		.prefault([...profileUses])
		.meta({
			description:
				'What answers with the client of this profile: `sockopt` (getsockopt), `transparent` (accept() and getpeername()). Default `[sockopt, transparent]`. Metrics, lookups and spans go by all profiles. The provider `module` has no such rule.',
		}),
};

/** The keys that say of a built-in profile how it goes with others. */
const ruledKeys = z
	.looseObject({ name: z.enum(names as [string, ...string[]]), ...ruleKeys })
	.superRefine((value, context) => {
		const others = Object.keys(value).filter((name) => name !== 'name' && !(name in ruleKeys));
		if (others.length > 0) context.addIssue({ code: 'custom', path: ['name'], message: builtInNameError });
	});

const addressAt = integer(2, optionsMax - addressBytes[4]);

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
		address_at: addressAt.optional().meta({
			description:
				'Offset of the address from the kind byte. Without it the option names no client; only where `vip_at` is given.',
		}),
		vip_at: integer(2, optionsMax - addressBytes[4])
			.optional()
			.meta({
				description:
					"Offset of the virtual server's address (VIP), of the same family ([virtual servers](../virtual-servers.md)).",
			}),
		vport_at: integer(2, optionsMax - portBytes)
			.optional()
			.meta({ description: 'Offset of its port.' }),
		vni_at: integer(2, optionsMax - 3)
			.optional()
			.meta({ description: 'Offset of the number of its virtual network (VNI, VPC id).' }),
		vni: word(...vniForms)
			.prefault('be24')
			.meta({
				description:
					'How that number is written: `be24` (3 bytes, as in VXLAN), `be32` (4 bytes), both in network order, or `le32`. Default `be24`.',
			}),
		syn: onOff.prefault('off').meta({ description: 'Looked for on the SYN as well.' }),
		...ruleKeys,
	},
	{ error: `must be ${alternatives(names)}, or a map that describes a profile of your own` },
);

type Own = Omit<Profile, 'id'>;

/** Keys that mean something beside another one alone. */
const dependentKeys = ownProfileKeys.superRefine((value, context) => {
	const refuse = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
	if (value.vni !== 'be24' && value.vni_at === undefined)
		refuse('vni', 'must have vni_at beside it, the place of the VNI');
	if (value.vip_at !== undefined) {
		if (value.port_at === undefined || value.address_at !== undefined) return;
		refuse('port_at', "must have address_at beside it; the virtual server's port is vport_at");
		return;
	}
	for (const key of ['vport_at', 'vni_at'] as const) {
		if (value[key] === undefined) continue;
		refuse(key, "must have vip_at beside it, the place of the virtual server's address");
	}
	for (const { message } of addressAt.safeParse(value.address_at).error?.issues ?? []) refuse('address_at', message);
});

const ownProfile = reading(dependentKeys, (value): Own => {
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
		vipAt: value.vip_at,
		vportAt: value.vport_at,
		vniAt: value.vni_at,
		vniForm: value.vni,
		uses: value.uses,
	} satisfies Own;
	checkLayout(own);
	return own;
});

const builtInNamed = (name: string) => builtInProfiles.find((profile) => profile.name === name) as Profile;

const named = z.enum(names as [string, ...string[]]).transform(builtInNamed);

const ruled = ruledKeys.transform(
	({ name, priority, pick, uses }): Profile => ({ ...builtInNamed(name), priority, pick, uses }),
);

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

/** In the order of the file, those that name a client first: the module has no others, and counts alike. */
function numberOwn(own: readonly Own[]): Map<Own, number> {
	const [clients, others] = [true, false].map((names) => own.filter((one) => (one.addressAt !== undefined) === names));
	return new Map([...(clients ?? []), ...(others ?? [])].map((one, index) => [one, firstOwnId + index]));
}

/** The active profiles: names of built-in ones, and maps that describe own ones. */
export const profiles = reading(
	z
		.array(z.union([named, ownProfile, ruled], { error: ({ input }) => entryError(input) }), { error: listError })
		.min(1, { error: listError })
		.max(profilesMax, { error: listError }),
	(list): Profile[] => {
		const ids = numberOwn(list.filter((entry) => !('id' in entry)));
		const result: Profile[] = [];
		for (const entry of list) {
			const profile = 'id' in entry ? entry : { id: ids.get(entry) ?? lastOwnId, ...entry };
			if (
				profile.addressAt === undefined &&
				(profile.priority !== 0 || profile.pick !== undefined || !servesAll(profile))
			) {
				throw new BadValue(`must not have priority, pick or uses at ${profile.name}: it names no client`);
			}
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
		if (result.every(({ addressAt }) => addressAt === undefined)) {
			throw new BadValue(
				`must have a profile that names a client: ${result.map(({ name }) => name).join(' and ')} ${result.length === 1 ? 'has' : 'have'} no address of one`,
			);
		}
		return result;
	},
);

/** As it is written in the file. */
export function formatProfile(profile: Profile): string | Record<string, unknown> {
	const { name, priority, pick, uses } = profile;
	const rules = {
		...(priority === 0 ? {} : { priority }),
		...(pick === undefined ? {} : { pick }),
		...(servesAll(profile) ? {} : { uses: [...uses] }),
	};
	if (!isOwn(profile)) return Object.keys(rules).length === 0 ? name : { name, ...rules };
	return {
		name,
		kind: profile.kind,
		length: profile.length,
		family: `ipv${profile.family}`,
		...(profile.portAt === undefined ? {} : { port_at: profile.portAt }),
		...(profile.addressAt === undefined ? {} : { address_at: profile.addressAt }),
		...(profile.vipAt === undefined ? {} : { vip_at: profile.vipAt }),
		...(profile.vportAt === undefined ? {} : { vport_at: profile.vportAt }),
		...(profile.vniAt === undefined ? {} : { vni_at: profile.vniAt, vni: profile.vniForm }),
		syn: profile.onSyn ? 'on' : 'off',
		...rules,
	};
}
