// SPDX-License-Identifier: Apache-2.0
/**
 * Profiles in the configuration: the layouts of the TOA option. The capture side builds the
 * kernel's struct toa_table from them.
 */

import { z } from 'zod';
import { balancerNames } from './balancer_names.ts';
import { builtInProfiles } from './built_in_profiles.gen.ts';
import { nearest } from './nearest.ts';
import { type Profile, profileUses, vniForms } from './profile.ts';
import { addressBytes, checkLayout, optionsMax, portBytes, profileName, tcpKinds } from './profile_layout.ts';
import { alternatives, BadValue, integer, onOff, parsing, word } from './value.ts';

/** Whether the profile has all uses. */
export function hasAllUses({ uses }: Pick<Profile, 'uses'>): boolean {
	return uses.length === profileUses.length;
}

const listError = 'must be a list of 1 to 16 profiles such as [nat64, toa6, toa4]';
const profilesMax = 16;
const firstCustomId = 8;
const lastCustomId = firstCustomId + profilesMax - 1;
const priorityMax = 100;

export function namesVirtualServer({ vipAt }: Pick<Profile, 'vipAt'>): boolean {
	return vipAt !== undefined;
}

/** Whether the configuration describes the profile itself; otherwise it is a built-in one. */
export function isCustomProfile({ id }: Pick<Profile, 'id'>): boolean {
	return id >= firstCustomId && id <= lastCustomId;
}

const names = builtInProfiles.map(({ name }) => name);

const kindError = "must be 6, 7, or from 9 to 255; 2 to 5 and 8 are TCP's own kinds, 0 and 1 have no length";

const builtInNameError =
	'must not be the name of a built-in profile: with such a name only priority, pick and uses are allowed';

const usesError = 'must be a list of sockopt, transparent or both';

const ruleKeys = {
	priority: integer(0, priorityMax).prefault(0).meta({
		description:
			'Where a connection has options of several profiles, those of the highest priority count and the others are not a conflict. 0 to 100, default 0.',
	}),
	pick: word('first', 'last').optional().meta({
		description:
			'Which option counts where one segment has several of this profile (a chain of balancers): `first` or `last`. Without it the first counts, and others that differ are a `conflict`.',
	}),
	uses: z
		.array(word(...profileUses), { error: usesError })
		.min(1, { error: usesError })
		.transform((list) => profileUses.filter((use) => list.includes(use)))
		.prefault([...profileUses])
		.meta({
			description:
				'What returns the client of this profile to applications: `sockopt` (getsockopt), `transparent` (accept() and getpeername()). Default `[sockopt, transparent]`. Metrics, lookups and spans use all profiles. The provider `module` does not support it.',
		}),
};

/** The keys that can accompany the name of a built-in profile: how it combines with others. */
const ruledKeys = z
	.looseObject({ name: z.enum(names as [string, ...string[]]), ...ruleKeys })
	.superRefine((value, context) => {
		const others = Object.keys(value).filter((name) => name !== 'name' && !(name in ruleKeys));
		if (others.length > 0) context.addIssue({ code: 'custom', path: ['name'], message: builtInNameError });
	});

const addressAt = integer(2, optionsMax - addressBytes[4]);

/** The keys of a profile that the configuration describes itself. */
export const customProfileKeys = z.strictObject(
	{
		name: z
			.string({ error: 'must be a name' })
			.regex(profileName, {
				error: 'must be at most 31 lower-case letters, digits, - and _, with a letter first',
			})
			.refine((name) => !names.includes(name), { error: builtInNameError })
			.meta({ description: 'Name, also in the label `profile` of the metrics.' }),
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
				'Offset of the address from the kind byte. Without it the option names no client, which is allowed only with `vip_at`.',
		}),
		vip_at: integer(2, optionsMax - addressBytes[4])
			.optional()
			.meta({
				description:
					"Offset of the virtual server's address (VIP), of the same family ([virtual servers](../virtual-servers.md)).",
			}),
		vport_at: integer(2, optionsMax - portBytes)
			.optional()
			.meta({ description: "Offset of the virtual server's port." }),
		vni_at: integer(2, optionsMax - 3)
			.optional()
			.meta({ description: "Offset of the number of the virtual server's network (VNI, VPC id)." }),
		vni: word(...vniForms)
			.prefault('be24')
			.meta({
				description:
					'Encoding of the VNI: `be24` (3 bytes, as in VXLAN) or `be32` (4 bytes), both in network order, or `le32` (4 bytes, little-endian). Default `be24`.',
			}),
		syn: onOff.prefault('off').meta({ description: 'Whether the SYN is searched as well. Default `off`.' }),
		...ruleKeys,
	},
	{ error: `must be ${alternatives(names)}, or a map that describes a custom profile` },
);

type CustomProfile = Omit<Profile, 'id'>;

/** Refuses keys that have a meaning only together with another one. */
const dependentKeys = customProfileKeys.superRefine((value, context) => {
	const refuse = (key: string, message: string) => context.addIssue({ code: 'custom', path: [key], message });
	if (value.vni !== 'be24' && value.vni_at === undefined) refuse('vni', 'requires vni_at, the offset of the VNI');
	if (value.vip_at !== undefined) {
		if (value.port_at === undefined || value.address_at !== undefined) return;
		refuse('port_at', "requires address_at; the virtual server's port is vport_at");
		return;
	}
	for (const key of ['vport_at', 'vni_at'] as const) {
		if (value[key] === undefined) continue;
		refuse(key, "requires vip_at, the offset of the virtual server's address");
	}
	for (const { message } of addressAt.safeParse(value.address_at).error?.issues ?? []) refuse('address_at', message);
});

const customProfile = parsing(dependentKeys, (value): CustomProfile => {
	const family = value.family === 'ipv4' ? 4 : 6;
	const custom = {
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
	} satisfies CustomProfile;
	checkLayout(custom);
	return custom;
});

const builtInNamed = (name: string) => builtInProfiles.find((profile) => profile.name === name) as Profile;

const named = z.enum(names as [string, ...string[]]).transform(builtInNamed);

const ruled = ruledKeys.transform(
	({ name, priority, pick, uses }): Profile => ({ ...builtInNamed(name), priority, pick, uses }),
);

/** Names that users could try here, and what to write instead. */
const otherNames: Readonly<Record<string, string>> = {
	ucloud: 'akamai4 for kind 253 with length 8, or balancer: ucloud-ulb for all that UCloud sends',
};

/** The message for an entry that has none of the allowed forms. */
function entryError(input: unknown): string {
	const allowed = `must be ${alternatives(names)}, or a map that describes a custom profile`;
	if (typeof input !== 'string') return allowed;
	const other = otherNames[input];
	if (other !== undefined) return `must be a profile: write ${other}`;
	if (balancerNames.some((name) => name === input))
		return `must be a profile, not a balancer: write balancer: ${input}`;
	const near = nearest(input, names);
	return near === undefined ? allowed : `${allowed}; did you mean ${near}?`;
}

/**
 * Numbers them in the order of the file, those that name a client first: the module has only these,
 * and must have the same numbers.
 */
function numberCustom(custom: readonly CustomProfile[]): Map<CustomProfile, number> {
	const [clients, others] = [true, false].map((names) =>
		custom.filter((one) => (one.addressAt !== undefined) === names),
	);
	return new Map([...(clients ?? []), ...(others ?? [])].map((one, index) => [one, firstCustomId + index]));
}

/**
 * The active profiles: names of built-in ones, also in maps with further rules, and maps that
 * describe custom profiles.
 */
export const profiles = parsing(
	z
		.array(z.union([named, customProfile, ruled], { error: ({ input }) => entryError(input) }), { error: listError })
		.min(1, { error: listError })
		.max(profilesMax, { error: listError }),
	(list): Profile[] => {
		const ids = numberCustom(list.filter((entry) => !('id' in entry)));
		const result: Profile[] = [];
		for (const entry of list) {
			const profile = 'id' in entry ? entry : { id: ids.get(entry) ?? lastCustomId, ...entry };
			if (
				profile.addressAt === undefined &&
				(profile.priority !== 0 || profile.pick !== undefined || !hasAllUses(profile))
			) {
				throw new BadValue(`must not set priority, pick or uses for ${profile.name}, which names no client`);
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
				`must have a profile that names a client: ${result.map(({ name }) => name).join(' and ')} ${result.length === 1 ? 'has' : 'have'} no client address`,
			);
		}
		return result;
	},
);

/** The profile as it is written in the file. */
export function formatProfile(profile: Profile): string | Record<string, unknown> {
	const { name, priority, pick, uses } = profile;
	const rules = {
		...(priority === 0 ? {} : { priority }),
		...(pick === undefined ? {} : { pick }),
		...(hasAllUses(profile) ? {} : { uses: [...uses] }),
	};
	if (!isCustomProfile(profile)) return Object.keys(rules).length === 0 ? name : { name, ...rules };
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
