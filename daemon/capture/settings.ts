// SPDX-License-Identifier: Apache-2.0
/**
 * Encodes the configuration as the BPF programs read it. Pure functions: they return bytes and
 * change nothing.
 */
import type { Network } from '../config/cidr.ts';
import type { Config } from '../config/config.ts';
import type { Ports } from '../config/ports.ts';
import type { Profile } from '../config/profile.ts';
import { hasAllUses, namesVirtualServer } from '../config/profiles.ts';
import type { EventType } from '../model/connection.ts';
import { sampleNone } from '../model/sampling.ts';
import type { ProviderName } from './provider.ts';
import {
	constant,
	eventType,
	portBitsLayout,
	settingsLayout,
	sockoptMode,
	toaProfileLayout,
	toaTableLayout,
	toaUse,
	toaVni,
	trustKeyLayout,
} from './records/layout.gen.ts';

/** enum toa_pick */
const picks: readonly Profile['pick'][] = [undefined, 'first', 'last'];

const useBit = { sockopt: toaUse.TOA_USE_SOCKOPT, transparent: toaUse.TOA_USE_PEERNAME } as const;

const vniForm = { be24: toaVni.TOA_VNI_24, be32: toaVni.TOA_VNI_32, le32: toaVni.TOA_VNI_32_LITTLE } as const;

/** Encodes struct toa_table: the profiles, and an index of them by kind and length. */
export function encodeProfiles(profiles: readonly Profile[]): Buffer {
	const table = Buffer.alloc(toaTableLayout.size);
	profiles.forEach((profile, index) => {
		// slot 0 means that no profile matches
		const slot = index + 1;
		const at = toaTableLayout.profile + slot * toaProfileLayout.size;
		table[at + toaProfileLayout.id] = profile.id;
		table[at + toaProfileLayout.kind] = profile.kind;
		table[at + toaProfileLayout.length] = profile.length;
		table[at + toaProfileLayout.family] = profile.family;
		table[at + toaProfileLayout.portAt] = profile.portAt ?? constant.ABSENT;
		table[at + toaProfileLayout.addressAt] = profile.addressAt ?? constant.ABSENT;
		table[at + toaProfileLayout.onSyn] = profile.onSyn ? 1 : 0;
		table[at + toaProfileLayout.version] = profile.version ?? 0;
		table[at + toaProfileLayout.priority] = profile.priority;
		table[at + toaProfileLayout.pick] = picks.indexOf(profile.pick);
		table[at + toaProfileLayout.uses] = useBits(profile);
		table[at + toaProfileLayout.vipAt] = profile.vipAt ?? constant.ABSENT;
		table[at + toaProfileLayout.vportAt] = profile.vportAt ?? constant.ABSENT;
		table[at + toaProfileLayout.vniAt] = profile.vniAt ?? constant.ABSENT;
		table[at + toaProfileLayout.vniForm] = vniForm[profile.vniForm];
		table[toaTableLayout.priority + profile.id] = profile.priority;
		table[toaTableLayout.pick + profile.id] = picks.indexOf(profile.pick);
		table[toaTableLayout.uses + profile.id] = useBits(profile);
		table[toaTableLayout.slot + profile.kind * constant.LIST_SIZE + profile.length] = slot;
	});
	return table;
}

function useBits({ uses }: Profile): number {
	return uses.reduce((bits, use) => bits | useBit[use], 0);
}

/** Which records go into the ring. */
export interface Emission {
	/** The types that every connection has. */
	readonly every: readonly EventType[];
	/** The types that a sampled connection has. */
	readonly sampled: readonly EventType[];
	/** The threshold of the sampling; see daemon/model/sampling.ts. */
	readonly threshold: bigint;
}

export const noEmission: Emission = { every: [], sampled: [], threshold: sampleNone };

const eventBit: Readonly<Record<EventType, number>> = {
	opened: 1 << eventType.EVENT_OPENED,
	accepted: 1 << eventType.EVENT_ACCEPTED,
	closed: 1 << eventType.EVENT_CLOSED,
};

const eventMask = (types: readonly EventType[]) => types.reduce((mask, type) => mask | eventBit[type], 0);

/**
 * Encodes struct settings. `ownNetns` is the inode number of the network namespace of this process. `servedCgroup`
 * is the id of the cgroup whose sockets are served; 0n: all. With the provider `module` no program
 * reads options, so there are neither virtual servers nor uses.
 */
export function encodeSettings(
	config: Config,
	generation: number,
	emission: Emission,
	ownNetns: number,
	servedCgroup = 0n,
	provider: ProviderName = 'bpf',
): Buffer {
	const bytes = Buffer.alloc(settingsLayout.size);
	bytes.writeUInt32LE(generation, settingsLayout.generation);
	bytes.writeUInt32LE(eventMask(emission.every), settingsLayout.events);
	bytes.writeUInt32LE(eventMask(emission.sampled), settingsLayout.sampledEvents);
	bytes.writeBigUInt64LE(emission.threshold, settingsLayout.sampleThreshold);
	const { retransmits, acceptWaitMs } = config.otel.sampling;
	bytes.writeUInt32LE(retransmits ?? 0, settingsLayout.sampleRetransmits);
	bytes.writeBigUInt64LE(BigInt(acceptWaitMs ?? 0) * 1_000_000n, settingsLayout.sampleAcceptWaitNs);
	bytes.writeBigUInt64LE(BigInt(config.connections.retainMs) * 1_000_000n, settingsLayout.retainNs);
	bytes.writeBigUInt64LE(servedCgroup, settingsLayout.servedCgroup);
	bytes[settingsLayout.trustAny] = config.trust.length === 0 ? 1 : 0;
	bytes[settingsLayout.transparent] = config.transparent.enabled ? 1 : 0;
	bytes[settingsLayout.sockopt] = sockoptModeOf(config);
	bytes[settingsLayout.readSyn] = config.profiles.some(({ onSyn }) => onSyn) ? 1 : 0;
	if (provider === 'bpf') {
		bytes[settingsLayout.splitUses] = config.profiles.every(hasAllUses) ? 0 : 1;
		bytes[settingsLayout.virtualServers] = config.profiles.some(namesVirtualServer) ? 1 : 0;
	}
	bytes.writeUInt32LE(config.listeners.netns === 'host' ? ownNetns : 0, settingsLayout.netns);
	const { prefix4, prefix6, perPrefix } = config.clients;
	bytes[settingsLayout.prefixLength] = prefix4;
	bytes[settingsLayout.prefixLength + 1] = prefix6;
	if (perPrefix !== undefined) {
		bytes[settingsLayout.perPrefixLength] = perPrefix.prefix4;
		bytes[settingsLayout.perPrefixLength + 1] = perPrefix.prefix6;
		bytes.writeUInt32LE(perPrefix.max, settingsLayout.perPrefixMax);
	}
	bytes[settingsLayout.noAccepts] = config.accept ? 0 : 1;
	bytes[settingsLayout.labelPort] = config.listeners.label === 'port' ? 1 : 0;
	encodeProfiles(config.profiles).copy(bytes, settingsLayout.table);
	return bytes;
}

function sockoptModeOf({ sockopt: { enabled, ipv4 } }: Config): number {
	if (!enabled) return sockoptMode.SOCKOPT_OFF;
	return ipv4 === 'refuse' ? sockoptMode.SOCKOPT_REFUSE : sockoptMode.SOCKOPT_MAPPED;
}

/** Returns the bits of the ports index * 64 to index * 64 + 63 that are in the set. */
function word(ports: Ports, index: number): bigint {
	if (ports === 'all') return 2n ** 64n - 1n;
	let bits = 0n;
	for (const { first, last } of ports) {
		const end = Math.min(last, index * 64 + 63);
		for (let port = Math.max(first, index * 64); port <= end; port++) bits |= 1n << BigInt(port & 63);
	}
	return bits;
}

/** Encodes struct port_bits for all PORT_WORDS words. */
export function encodePorts(config: Config): Buffer {
	const bytes = Buffer.alloc(constant.PORT_WORDS * portBitsLayout.size);
	for (let index = 0; index < constant.PORT_WORDS; index++) {
		const at = index * portBitsLayout.size;
		bytes.writeBigUInt64LE(word(config.listeners.ports, index), at + portBitsLayout.watched);
		bytes.writeBigUInt64LE(word(config.transparent.ports, index), at + portBitsLayout.transparent);
		bytes.writeBigUInt64LE(word(config.otel.sampling.listeners, index), at + portBitsLayout.sampled);
	}
	return bytes;
}

/**
 * Encodes struct trust_key. The generation and the family precede the address, so that every prefix
 * includes both.
 */
export function encodeTrust(network: Network, generation: number): Buffer {
	const key = Buffer.alloc(trustKeyLayout.size);
	key.writeUInt32LE(64 + network.prefixLength, trustKeyLayout.prefixLength);
	key.writeUInt32LE(generation, trustKeyLayout.generation);
	key.writeUInt32LE(network.family, trustKeyLayout.family);
	network.address.forEach((byte, i) => {
		key[trustKeyLayout.address + i] = byte;
	});
	return key;
}
