// SPDX-License-Identifier: Apache-2.0
/** The configuration as bytes for the BPF programs. */
import { describe, expect, it } from 'vitest';
import {
	constant,
	portBitsLayout,
	settingsLayout,
	toaProfileLayout,
	toaTableLayout,
	toaUse,
	trustKeyLayout,
} from '../../../daemon/capture/records/layout.gen.ts';
import {
	encodePorts,
	encodeProfiles,
	encodeSettings,
	encodeTrust,
	noEmission,
} from '../../../daemon/capture/settings.ts';
import { builtInProfiles } from '../../../daemon/config/built_in_profiles.gen.ts';
import { parseNetwork } from '../../../daemon/config/cidr.ts';
import type { Config } from '../../../daemon/config/config.ts';
import { defaultConfig } from '../../../daemon/config/load.ts';
import { profiles } from '../../../daemon/config/profiles.ts';

describe('profiles for the kernel', () => {
	const table = encodeProfiles(builtInProfiles);

	/**
	 * The profile that toa_scan() of kernel/toa_option.h finds for an option of this kind and
	 * length.
	 */
	function find(kind: number, length: number) {
		const slot = table[toaTableLayout.slot + kind * 64 + length] ?? 0;
		if (slot === 0) return undefined;
		const at = toaTableLayout.profile + slot * toaProfileLayout.size;
		return [...table.subarray(at, at + toaProfileLayout.size)];
	}

	const rest = [0, 0, 0, 0, 0];
	const both = toaUse.TOA_USE_SOCKOPT | toaUse.TOA_USE_PEERNAME;
	it.each([
		// id, kind, length, family, port_at, address_at, on_syn, version, priority, pick, uses, vip_at, vport_at, vni_at, vni_form, reserved
		['nat64', [1, 253, 20, 6, 2, 4, 0, 0, 0, 0, both, ...rest]],
		['toa6', [2, 254, 20, 6, 2, 4, 0, 0, 0, 0, both, ...rest]],
		['toa4', [3, 254, 8, 4, 2, 4, 0, 0, 0, 0, both, ...rest]],
		['akamai4', [4, 253, 8, 4, 2, 4, 0, 0, 0, 0, both, ...rest]],
		['tencent', [5, 200, 8, 4, 2, 4, 0, 0, 0, 0, both, ...rest]],
		['cdn4', [6, 28, 7, 4, 0, 3, 1, 1, 0, 0, both, ...rest]],
		['cdn6', [7, 28, 19, 6, 0, 3, 1, 1, 0, 0, both, ...rest]],
		['vtoa4', [24, 252, 20, 4, 2, 4, 0, 0, 0, 0, both, 12, 16, 8, 2, 0]],
		['vtoa6', [25, 249, 40, 6, 2, 4, 0, 0, 0, 0, both, 24, 0, 20, 0, 0]],
		['vip4', [26, 250, 8, 4, 0, 0, 0, 0, 0, 0, both, 4, 2, 0, 0, 0]],
	] as const)('%s', (_, expected) => expect(find(expected[1], expected[2])).toEqual(expected));

	it('encodes priority and pick, in the profile and by its id', () => {
		const ruled = encodeProfiles(profiles.parse([{ name: 'tencent', priority: 7, pick: 'last' }, 'nat64']));
		const at = toaTableLayout.profile + toaProfileLayout.size;
		expect([ruled[at + toaProfileLayout.priority], ruled[at + toaProfileLayout.pick]]).toEqual([7, 2]);
		expect([...ruled.subarray(toaTableLayout.priority, toaTableLayout.priority + 6)]).toEqual([0, 0, 0, 0, 0, 7]);
		expect([...ruled.subarray(toaTableLayout.pick, toaTableLayout.pick + 6)]).toEqual([0, 0, 0, 0, 0, 2]);
	});

	it('encodes the virtual server of a custom profile, and the uses of a profile', () => {
		const own = { name: 'mine', kind: 99, length: 16, family: 'ipv4', vip_at: 2, vport_at: 6, vni_at: 8, vni: 'be32' };
		const encoded = encodeProfiles(profiles.parse([own, { name: 'toa4', uses: ['transparent'] }]));
		const at = (slot: number) => encoded.subarray(toaTableLayout.profile + slot * toaProfileLayout.size);
		const { portAt, addressAt, vipAt, vportAt, vniAt, vniForm, uses } = toaProfileLayout;
		expect([portAt, addressAt, vipAt, vportAt, vniAt, vniForm, uses].map((field) => at(1)[field])).toEqual([
			0,
			0,
			2,
			6,
			8,
			1,
			both,
		]);
		expect(at(2)[uses]).toBe(toaUse.TOA_USE_PEERNAME);
	});

	it('no other kind and length leads to a profile', () => {
		let found = 0;
		for (let kind = 0; kind < 256; kind++) {
			for (let length = 0; length < 64; length++) if (find(kind, length) !== undefined) found++;
		}
		expect(found).toBe(builtInProfiles.length);
	});

	it('slot 0 is empty', () => {
		const at = toaTableLayout.profile;
		expect(table.subarray(at, at + toaProfileLayout.size)).toEqual(Buffer.alloc(toaProfileLayout.size));
	});
});

describe('settings for the kernel', () => {
	const base = defaultConfig();

	it('the defaults trust every peer', () => {
		const bytes = encodeSettings(
			base,
			7,
			{ every: ['opened', 'closed'], sampled: ['accepted'], threshold: 1n << 55n },
			99,
		);
		expect(bytes).toHaveLength(settingsLayout.size);
		expect(bytes.readUInt32LE(settingsLayout.generation)).toBe(7);
		expect(bytes.readUInt32LE(settingsLayout.events)).toBe(0b1010);
		expect(bytes.readUInt32LE(settingsLayout.sampledEvents)).toBe(0b100);
		expect(bytes.readBigUInt64LE(settingsLayout.sampleThreshold)).toBe(1n << 55n);
		expect(bytes.readUInt32LE(settingsLayout.sampleRetransmits)).toBe(0);
		expect(bytes.readBigUInt64LE(settingsLayout.sampleAcceptWaitNs)).toBe(0n);
		// trust_any, transparent, sockopt
		expect([...bytes.subarray(8, 11)]).toEqual([1, 0, 1]);
		expect(bytes.readBigUInt64LE(settingsLayout.retainNs)).toBe(120_000_000_000n);
		expect(bytes.readUInt32LE(settingsLayout.netns)).toBe(0);
		expect(bytes.readUInt32LE(settingsLayout.perPrefixMax)).toBe(256);
		expect([bytes[settingsLayout.noAccepts], bytes[settingsLayout.labelPort]]).toEqual([0, 0]);
		expect(bytes.subarray(settingsLayout.table)).toEqual(encodeProfiles(base.profiles));
	});

	it('encodes every other setting', () => {
		const config: Config = {
			...base,
			trust: [parseNetwork('192.0.2.0/24')],
			transparent: { enabled: true, ports: 'all' },
			sockopt: { enabled: false, ipv4: 'mapped' },
			accept: false,
			listeners: { ...base.listeners, netns: 'host', label: 'port' },
			otel: { ...base.otel, sampling: { ratio: 1, listeners: 'all', retransmits: 5, acceptWaitMs: 250 } },
			clients: { ...base.clients, prefix4: 24, prefix6: 64, perPrefix: { prefix4: 20, prefix6: 48, max: 7 } },
		};
		const bytes = encodeSettings(config, 0, noEmission, 4026531840, 0x1_0000_0007n);
		expect(bytes.readBigUInt64LE(settingsLayout.servedCgroup)).toBe(0x1_0000_0007n);
		expect(bytes.readUInt32LE(settingsLayout.netns)).toBe(4026531840);
		expect([...bytes.subarray(8, 11)]).toEqual([0, 1, 0]);
		expect([...bytes.subarray(settingsLayout.prefixLength, settingsLayout.prefixLength + 2)]).toEqual([24, 64]);
		expect([...bytes.subarray(settingsLayout.perPrefixLength, settingsLayout.perPrefixLength + 2)]).toEqual([20, 48]);
		expect(bytes.readUInt32LE(settingsLayout.perPrefixMax)).toBe(7);
		expect(bytes.readUInt32LE(settingsLayout.sampleRetransmits)).toBe(5);
		expect(bytes.readBigUInt64LE(settingsLayout.sampleAcceptWaitNs)).toBe(250_000_000n);
		expect([bytes[settingsLayout.noAccepts], bytes[settingsLayout.labelPort]]).toEqual([1, 1]);
	});

	it.each([
		[
			['toa4', 'nat64'],
			[0, 0],
		],
		[
			[{ name: 'toa4', uses: ['sockopt'] }, 'nat64'],
			[1, 0],
		],
		[
			['toa4', 'vip4'],
			[0, 1],
		],
		[[{ name: 'vtoa4', uses: ['transparent'] }], [1, 1]],
	])('the flags for profiles %j: split uses, virtual servers', (list, expected) => {
		const config = { ...base, profiles: profiles.parse(list) };
		const flags = (provider: 'bpf' | 'module') => {
			const bytes = encodeSettings(config, 0, noEmission, 0, 0n, provider);
			return [bytes[settingsLayout.splitUses], bytes[settingsLayout.virtualServers]];
		};
		expect(flags('bpf')).toEqual(expected);
		expect(flags('module')).toEqual([0, 0]);
	});

	it('encodes sockopt: off, on, and on without IPv4 clients', () => {
		const mode = (sockopt: Config['sockopt']) =>
			encodeSettings({ ...base, sockopt }, 0, noEmission, 0)[settingsLayout.sockopt];
		expect(mode({ enabled: false, ipv4: 'refuse' })).toBe(0);
		expect(mode({ enabled: true, ipv4: 'mapped' })).toBe(1);
		expect(mode({ enabled: true, ipv4: 'refuse' })).toBe(2);
	});

	it('encodes ports as one bit each', () => {
		const watched = [
			{ first: 1, last: 1 },
			{ first: 63, last: 128 },
			{ first: 65_535, last: 65_535 },
		];
		const bytes = encodePorts({
			...base,
			listeners: { ...base.listeners, ports: watched },
			transparent: { enabled: true, ports: [{ first: 443, last: 443 }] },
			otel: { ...base.otel, sampling: { ...base.otel.sampling, listeners: [{ first: 64, last: 65 }] } },
		});
		expect(bytes).toHaveLength(3 * (65_536 / 8));
		const bit = (port: number, offset: number) =>
			(bytes.readBigUInt64LE((port >> 6) * portBitsLayout.size + offset) >> BigInt(port & 63)) & 1n;
		const set = (offset: number) =>
			Array.from({ length: 65_536 }, (_, i) => i).filter((port) => bit(port, offset) === 1n);
		expect(set(portBitsLayout.watched)).toEqual([1, ...Array.from({ length: 66 }, (_, i) => 63 + i), 65_535]);
		expect(set(portBitsLayout.transparent)).toEqual([443]);
		expect(set(portBitsLayout.sampled)).toEqual([64, 65]);
	});

	it('sets every bit for all ports', () => {
		expect(encodePorts(base)).toEqual(Buffer.alloc(constant.PORT_WORDS * portBitsLayout.size, 0xff));
	});

	it.each([
		['192.0.2.0/24', '58000000 05000000 04000000 c0000200 000000000000000000000000'],
		['0.0.0.0/0', '40000000 05000000 04000000 00000000000000000000000000000000'],
		['2001:db8::/32', '60000000 05000000 06000000 20010db8000000000000000000000000'],
		['2001:db8::1/128', 'c0000000 05000000 06000000 20010db8000000000000000000000001'],
	])('encodes trust in %s: generation and family are part of the prefix', (text, expected) => {
		const bytes = encodeTrust(parseNetwork(text), 5);
		expect(bytes.toString('hex')).toBe(expected.replaceAll(' ', ''));
		expect(bytes).toHaveLength(trustKeyLayout.size);
	});
});
