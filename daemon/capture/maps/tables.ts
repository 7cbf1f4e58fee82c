// SPDX-License-Identifier: Apache-2.0
/** Reads the smaller maps of the counters whole, into buffers that are reused. */

import type { BpfMap, BpfObject } from '../../../native/binding.ts';
import type { UnknownOption } from '../../model/recent.ts';
import type { Admission, ExportedEntry, ListenerRecord } from '../../model/source.ts';
import { noTraffic } from '../../model/traffic.ts';
import {
	clientKeyLayout,
	constant,
	exportedLayout,
	listenerKeyLayout,
	listenerLayout,
	listenerRequestLayout,
	toaVerdict,
	unknownOptionLayout,
	withoutOption as without,
} from '../records/layout.gen.ts';
import { bounds, readEndpoint, readHistogram, readTraffic, seens, segments, writeTraffic } from '../records/records.ts';
import { ListenerBases } from './listener_bases.ts';

/** Reads a map's keys and values in one go. */
class MapReader {
	readonly keys: Buffer;
	readonly values: Buffer;
	readonly keySize: number;
	readonly valueSize: number;
	readonly capacity: number;
	readonly #map: BpfMap;

	constructor(map: BpfMap) {
		this.#map = map;
		this.keySize = map.keySize;
		this.valueSize = map.valueSize;
		this.capacity = map.maxEntries;
		this.keys = Buffer.allocUnsafeSlow(map.keySize * map.maxEntries);
		this.values = Buffer.allocUnsafeSlow(map.valueSize * map.maxEntries);
	}

	/** Returns the number of entries read. */
	read(): number {
		return this.#map.readAll(this.keys, this.values);
	}

	key(index: number): string {
		return this.keys.toString('latin1', index * this.keySize, (index + 1) * this.keySize);
	}
}

/** enum without_option */
const withoutOption = [
	{ trusted: true, data: true, word: without.WITHOUT_TRUSTED_DATA },
	{ trusted: true, data: false, word: without.WITHOUT_TRUSTED_NO_DATA },
	{ trusted: false, data: true, word: without.WITHOUT_UNTRUSTED_DATA },
	{ trusted: false, data: false, word: without.WITHOUT_UNTRUSTED_NO_DATA },
] as const;

/** Reads the listeners: their slots, and the counters in these. */
export class Listeners {
	readonly #bpf: BpfObject;
	readonly #slots: MapReader;
	readonly #bases: ListenerBases;
	readonly #profileName: (id: number) => string | undefined;

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#slots = new MapReader(bpf.map('listener_index'));
		this.#bases = new ListenerBases(bpf);
		this.#profileName = profileName;
	}

	read(): ListenerRecord[] {
		return Array.from({ length: this.#slots.read() }, (_, index) => this.#record(index));
	}

	#record(index: number): ListenerRecord {
		const { values: slots, keys, keySize } = this.#slots;
		const slot = slots.readUInt32LE(index * 4);
		const values = this.#bases.read(slot);
		const count = (offset: number, word: number) => values.readBigUInt64LE(offset + 8 * word);
		const handshake = (which: number) => count(listenerLayout.handshakes, which);
		const seen = (which: (typeof seens)[number]) => count(listenerLayout.accepts, seens.indexOf(which) + 1);
		return {
			key: this.#slots.key(index),
			slot,
			...this.#bases.slot(slot),
			endpoint: readEndpoint(keys, index * keySize + listenerKeyLayout.local),
			total: readTraffic(values, listenerLayout.total),
			direct: readTraffic(values, listenerLayout.direct),
			overflow: readTraffic(values, listenerLayout.overflow),
			folded: readTraffic(values, listenerLayout.folded),
			unexported: readTraffic(values, listenerLayout.unexported),
			handshakes: {
				toa: handshake(toaVerdict.TOA_VERDICT_TOA),
				none: handshake(toaVerdict.TOA_VERDICT_NONE),
				malformed: handshake(toaVerdict.TOA_VERDICT_MALFORMED),
				untrusted: handshake(toaVerdict.TOA_VERDICT_UNTRUSTED),
				conflict: handshake(toaVerdict.TOA_VERDICT_CONFLICT),
			},
			withoutOption: withoutOption.map(({ trusted, data, word }) => ({
				trusted,
				data,
				count: count(listenerLayout.withoutOption, word),
			})),
			hiddenByFamily: values.readBigUInt64LE(listenerLayout.hiddenByFamily),
			options: this.#options(values),
			accepts: { fexit: seen('fexit'), getpeername: seen('getpeername'), unseen: seen('unseen') },
			rtt: readHistogram(values, listenerLayout.rtt, bounds.rtt),
			duration: readHistogram(values, listenerLayout.duration, bounds.duration),
			acceptWait: readHistogram(values, listenerLayout.acceptWait, bounds.acceptWait),
		};
	}

	get capacity(): number {
		return this.#slots.capacity - 1;
	}

	setRetired({ slot }: ListenerRecord, retired: boolean): void {
		this.#bases.setRetired(slot, retired);
	}

	/** False: the slot is not free yet. */
	fold({ key, slot }: ListenerRecord): boolean {
		this.#bases.fold(slot);
		const request = Buffer.alloc(listenerRequestLayout.size);
		request.write(key, listenerRequestLayout.key, listenerKeyLayout.size, 'latin1');
		request.writeUInt32LE(slot, listenerRequestLayout.slot);
		return this.#bpf.run('toascope_free_listener', request) === 0;
	}

	#options(values: Buffer): ListenerRecord['options'] {
		const found: { profile: string; segment: (typeof segments)[number]; count: bigint }[] = [];
		for (let id = 1; id < constant.PROFILE_SLOTS; id++) {
			segments.forEach((segment, index) => {
				const count = values.readBigUInt64LE(listenerLayout.options + 8 * (id * constant.SEGMENTS + index));
				if (count > 0n) found.push({ profile: this.#profileName(id) ?? `profile-${id}`, segment, count });
			});
		}
		return found;
	}
}

/** Encodes entries of the map `exported`, one after the other. */
export function encodeAdmissions(admissions: readonly Admission[]): { keys: Buffer; values: Buffer } {
	const keys = Buffer.alloc(admissions.length * clientKeyLayout.size);
	const values = Buffer.alloc(admissions.length * exportedLayout.size);
	admissions.forEach(({ key, exported: { base, sinceNs } }, index) => {
		keys.write(key, index * clientKeyLayout.size, clientKeyLayout.size, 'latin1');
		const at = index * exportedLayout.size;
		// most clients have no base, and the buffer is zeroed already
		if (base !== noTraffic) writeTraffic(values, at + exportedLayout.base, base);
		values.writeBigUInt64LE(sinceNs, at + exportedLayout.sinceNs);
	});
	return { keys, values };
}

/** Returns the key and the value of one entry. */
export function admissionAt(keys: Buffer, values: Buffer, index: number): [key: Buffer, value: Buffer] {
	const [key, value] = [index * clientKeyLayout.size, index * exportedLayout.size];
	return [keys.subarray(key, key + clientKeyLayout.size), values.subarray(value, value + exportedLayout.size)];
}

/** Reads the map `exported`: the exported set that was pinned. */
export function readExported(bpf: BpfObject): Map<string, ExportedEntry> {
	const map = new MapReader(bpf.map('exported'));
	const set = new Map<string, ExportedEntry>();
	const count = map.read();
	for (let index = 0; index < count; index++) {
		const at = index * exportedLayout.size;
		set.set(map.key(index), {
			base: readTraffic(map.values, at + exportedLayout.base),
			sinceNs: map.values.readBigUInt64LE(at + exportedLayout.sinceNs),
		});
	}
	return set;
}

/** Reads the map `listener_since`: Unix nanoseconds by the listener's key. */
export function readListenerSince(bpf: BpfObject): Map<string, bigint> {
	const map = new MapReader(bpf.map('listener_since'));
	return new Map(
		Array.from({ length: map.read() }, (_, index) => [map.key(index), map.values.readBigUInt64LE(8 * index)]),
	);
}

/** Reads the map `unknown_options`. */
export function readUnknownOptions(bpf: BpfObject): UnknownOption[] {
	const map = new MapReader(bpf.map('unknown_options'));
	return Array.from({ length: map.read() }, (_, index) => ({
		kind: map.keys[index * unknownOptionLayout.size + unknownOptionLayout.kind] ?? 0,
		length: map.keys[index * unknownOptionLayout.size + unknownOptionLayout.length] ?? 0,
		connections: map.values.readBigUInt64LE(index * 8),
	}));
}
