// SPDX-License-Identifier: Apache-2.0
/** The profiles that toascope knows by name, each with its source. */
import type { Profile } from './profiles.ts';

export interface BuiltInProfile extends Profile {
	/** The vendors that write it, and where that can be read: Markdown for the reference. */
	readonly source: string;
}

type Layout = Pick<BuiltInProfile, 'id' | 'name' | 'kind' | 'length' | 'source'> & Partial<Profile>;

function builtIn(layout: Layout): BuiltInProfile {
	return {
		portAt: 2,
		addressAt: 4,
		family: layout.length < 16 ? 4 : 6,
		onSyn: false,
		version: undefined,
		priority: 0,
		pick: undefined,
		uses: ['sockopt', 'transparent'],
		vipAt: undefined,
		vportAt: undefined,
		vniAt: undefined,
		vniForm: 'be24',
		...layout,
	};
}

/** CDNs have no port and a version, and write it on the SYN. */
const cdn = { portAt: undefined, addressAt: 3, onSyn: true, version: 1 } as const;

const vtoa = '`net/vtoa/vtoa.h` of the Anolis OS kernel';

/** Ids are in pinned counters: never reuse one. Own profiles have 8 to 23. */
export const builtInProfiles: readonly BuiltInProfile[] = [
	builtIn({
		id: 1,
		name: 'nat64',
		kind: 253,
		length: 20,
		source: `NAT64 load balancers (Huawei Cloud, Tencent Cloud, Alibaba Cloud): \`TCPOPT_TOA_V6\` in ${vtoa}`,
	}),
	builtIn({
		id: 2,
		name: 'toa6',
		kind: 254,
		length: 20,
		source: 'DPVS with IPv6 or NAT64: `kmod/toa/toa.h` of iqiyi/dpvs',
	}),
	builtIn({
		id: 3,
		name: 'toa4',
		kind: 254,
		length: 8,
		source:
			'LVS FULLNAT: `kernel/net/toa/toa.h` of alibaba/LVS; Huawei Cloud ELB: `src/toa.h` of Huawei/TCP_option_address; DPVS: `kmod/toa/toa.h` of iqiyi/dpvs',
	}),
	builtIn({
		id: 4,
		name: 'akamai4',
		kind: 253,
		length: 8,
		source: 'UCloud ULB for clients of Akamai: ucloud/ucloud-toa',
	}),
	builtIn({
		id: 5,
		name: 'tencent',
		kind: 200,
		length: 8,
		source:
			'Tencent Cloud (CLB before SNAT, GAAP, Anti-DDoS): `TCPOPT_ADDR` in their documents on TOA; UCloud ULB: `toa.h` of ucloud/ucloud-toa; ip_vs_ca: yubo/ip_vs_ca',
	}),
	builtIn({
		...cdn,
		id: 6,
		name: 'cdn4',
		kind: 28,
		length: 7,
		source: 'Alibaba Cloud CDN: `TCPOPT_TOA` in the kernel module of "Alibaba CDN TCP Option Address"; Akamai',
	}),
	builtIn({
		...cdn,
		id: 7,
		name: 'cdn6',
		kind: 28,
		length: 19,
		source: 'Alibaba Cloud CDN: the eBPF program of "Alibaba CDN TCP Option Address"',
	}),
	builtIn({
		id: 24,
		name: 'vtoa4',
		kind: 252,
		length: 20,
		family: 4,
		vniAt: 8,
		vniForm: 'le32',
		vipAt: 12,
		vportAt: 16,
		source: `Alibaba Cloud SLB in a VPC, for RDS and others: \`TCPOPT_VTOA\` in ${vtoa}`,
	}),
	builtIn({
		id: 25,
		name: 'vtoa6',
		kind: 249,
		length: 40,
		vniAt: 20,
		vipAt: 24,
		source: `the same for IPv6: \`TCPOPT_V6VTOA\` in ${vtoa}`,
	}),
	builtIn({
		id: 26,
		name: 'vip4',
		kind: 250,
		length: 8,
		portAt: undefined,
		addressAt: undefined,
		vportAt: 2,
		vipAt: 4,
		source: `Alibaba Cloud SLB, beside \`toa4\`: \`TCPOPT_TOA_VIP\` in ${vtoa}`,
	}),
];
