// SPDX-License-Identifier: Apache-2.0
/** Presets: the profiles of the options that a balancer writes, by the name of the balancer. */
import { z } from 'zod';
import { type BalancerName, balancerNames } from './balancer_names.ts';
import { builtInProfiles } from './built_in_profiles.gen.ts';
import { nearest } from './nearest.ts';
import type { Profile } from './profile.ts';
import { alternatives } from './value.ts';

export interface Balancer {
	/** The name for people, in the README and the reference. */
	readonly title: string;
	/** Built-in profiles by name, each with its priority in this preset. */
	readonly profiles: Readonly<Record<string, number>>;
	readonly note: string;
}

/** The sources are those of the profiles (built_in_profiles.gen.ts). */
export const balancers: Readonly<Record<BalancerName, Balancer>> = {
	'huawei-elb': {
		title: 'Huawei Cloud ELB, NAT64',
		profiles: { toa4: 0, toa6: 0, nat64: 0 },
		note: '',
	},
	'aliyun-slb': {
		title: 'Alibaba Cloud SLB, CLB, NLB (FULLNAT)',
		profiles: { toa4: 0, nat64: 0 },
		note: '',
	},
	'aliyun-vtoa': {
		title: 'Alibaba Cloud SLB with VTOA (VPC, RDS)',
		profiles: { toa4: 0, vip4: 0, vtoa4: 0, vtoa6: 0, nat64: 0 },
		note: 'names the virtual server too, for getsockopt(1345) to 1347',
	},
	'aliyun-cdn': {
		title: 'Alibaba Cloud CDN, Akamai',
		profiles: { cdn4: 0, cdn6: 0 },
		note: 'on the SYN, without a port',
	},
	'tencent-clb': {
		title: 'Tencent Cloud CLB, NAT64 CLB, hybrid cloud',
		profiles: { nat64: 1, tencent: 0 },
		note: 'one connection can have both: the IPv6 client (kind 253) counts, not the IPv4 address before SNAT (kind 200)',
	},
	'tencent-gaap': {
		title: 'Tencent Cloud GAAP, Anti-DDoS, EdgeOne',
		profiles: { tencent: 0 },
		note: '',
	},
	'ucloud-ulb': {
		title: 'UCloud ULB',
		profiles: { tencent: 0, akamai4: 0, toa4: 0 },
		note: '',
	},
	dpvs: { title: 'DPVS (FULLNAT, NAT64)', profiles: { toa4: 0, toa6: 0 }, note: '' },
	'lvs-fullnat': { title: 'LVS with FULLNAT (alibaba/LVS)', profiles: { toa4: 0 }, note: '' },
	'ip-vs-ca': { title: 'ip_vs_ca', profiles: { tencent: 0 }, note: '' },
};

/** Parts of what users write, and the preset that they mean. */
const parts: Readonly<Record<string, BalancerName>> = {
	huawei: 'huawei-elb',
	elb: 'huawei-elb',
	ali: 'aliyun-slb',
	vtoa: 'aliyun-vtoa',
	rds: 'aliyun-vtoa',
	slb: 'aliyun-slb',
	tencent: 'tencent-clb',
	clb: 'tencent-clb',
	ucloud: 'ucloud-ulb',
	ulb: 'ucloud-ulb',
	akamai: 'aliyun-cdn',
	lvs: 'lvs-fullnat',
	ipvs: 'lvs-fullnat',
};

function balancerError(input: unknown): string {
	const allowed = `must be ${alternatives(balancerNames)}, or a list of them`;
	if (typeof input !== 'string') return allowed;
	const meant =
		nearest(input, balancerNames) ?? Object.entries(parts).find(([part]) => input.toLowerCase().includes(part))?.[1];
	return meant === undefined ? allowed : `${allowed}; did you mean ${meant}?`;
}

const name = z.enum(balancerNames, { error: ({ input }) => balancerError(input) });

/** One name, or a list of names. */
export const balancer = z.union(
	[name.transform((one) => [one]), z.array(name).min(1, { error: balancerError(undefined) })],
	{
		error: ({ input }) => balancerError(input),
	},
);

/** The profiles that the balancers write; where two share one, its higher priority applies. */
export function profilesOf(names: readonly BalancerName[]): Profile[] {
	const priorities = new Map<string, number>();
	for (const each of names) {
		for (const [profile, priority] of Object.entries(balancers[each].profiles)) {
			priorities.set(profile, Math.max(priority, priorities.get(profile) ?? 0));
		}
	}
	return builtInProfiles
		.filter((profile) => priorities.has(profile.name))
		.map((profile) => ({ ...profile, priority: priorities.get(profile.name) ?? 0 }));
}
