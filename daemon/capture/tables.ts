// SPDX-License-Identifier: Apache-2.0
/** The smaller maps of the counters, read whole into buffers that are reused. */
import type { UnknownOption } from '../model/recent.ts';
import type { Admission, Exported, ListenerRecord } from '../model/source.ts';
import { noTraffic } from '../model/traffic.ts';
import {
	clientKeyLayout,
	exportedLayout,
	limit,
	listenerKeyLayout,
	listenerLayout,
	listenerRequestLayout,
	unknownOptionLayout,
	verdict,
	withoutOption as without,
} from './layout.gen.ts';
import { ListenerBases } from './listener_bases.ts';
import type { BpfObject } from './native.ts';
import { bounds, readEndpoint, readHistogram, readTraffic, seens, segments, writeTraffic } from './records.ts';

/** A map's keys and values, read in one go. */
class MapReader {
	readonly keys: Buffer;
	readonly values: Buffer;
	readonly keySize: number;
	readonly valueSize: number;
	readonly capacity: number;
	readonly #bpf: BpfObject;
	readonly #map: string;

	constructor(bpf: BpfObject, map: string) {
		const info = bpf.mapInfo(map);
		this.#bpf = bpf;
		this.#map = map;
		this.keySize = info.keySize;
		this.valueSize = info.valueSize;
		this.capacity = info.maxEntries;
		this.keys = Buffer.allocUnsafeSlow(info.keySize * info.maxEntries);
		this.values = Buffer.allocUnsafeSlow(info.valueSize * info.maxEntries);
	}

	/** Returns the entries read. */
	read(): number {
		return this.#bpf.readAll(this.#map, this.keys, this.values);
	}

	key(index: number): string {
		return this.keys.toString('latin1', index * this.keySize, (index + 1) * this.keySize);
	}
}

/** enum without_option */
const withoutOption = [
	{ trusted: true, data: true, place: without.WITHOUT_TRUSTED_DATA },
	{ trusted: true, data: false, place: without.WITHOUT_TRUSTED_NO_DATA },
	{ trusted: false, data: true, place: without.WITHOUT_UNTRUSTED_DATA },
	{ trusted: false, data: false, place: without.WITHOUT_UNTRUSTED_NO_DATA },
] as const;

/** The listeners: their places, and the counters that stand there. */
export class Listeners {
	readonly #bpf: BpfObject;
	readonly #places: MapReader;
	readonly #bases: ListenerBases;
	readonly #profileName: (id: number) => string | undefined;

	constructor(bpf: BpfObject, profileName: (id: number) => string | undefined) {
		this.#bpf = bpf;
		this.#places = new MapReader(bpf, 'listener_places');
		this.#bases = new ListenerBases(bpf);
		this.#profileName = profileName;
	}

	read(): ListenerRecord[] {
		return Array.from({ length: this.#places.read() }, (_, index) => this.#record(index));
	}

	#record(index: number): ListenerRecord {
		const { values: places, keys, keySize } = this.#places;
		const slot = places.readUInt32LE(index * 4);
		const values = this.#bases.read(slot);
		const count = (offset: number, place: number) => values.readBigUInt64LE(offset + 8 * place);
		const handshake = (which: number) => count(listenerLayout.handshakes, which);
		const seen = (which: (typeof seens)[number]) => count(listenerLayout.accepts, seens.indexOf(which) + 1);
		return {
			key: this.#places.key(index),
			slot,
			...this.#bases.slot(slot),
			endpoint: readEndpoint(keys, index * keySize + listenerKeyLayout.local),
			total: readTraffic(values, listenerLayout.total),
			direct: readTraffic(values, listenerLayout.direct),
			overflow: readTraffic(values, listenerLayout.overflow),
			folded: readTraffic(values, listenerLayout.folded),
			unshown: readTraffic(values, listenerLayout.unshown),
			handshakes: {
				toa: handshake(verdict.VERDICT_TOA),
				none: handshake(verdict.VERDICT_NONE),
				malformed: handshake(verdict.VERDICT_MALFORMED),
				untrusted: handshake(verdict.VERDICT_UNTRUSTED),
				conflict: handshake(verdict.VERDICT_CONFLICT),
			},
			withoutOption: withoutOption.map(({ trusted, data, place }) => ({
				trusted,
				data,
				count: count(listenerLayout.withoutOption, place),
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
		return this.#places.capacity - 1;
	}

	setRetired({ slot }: ListenerRecord, retired: boolean): void {
		this.#bases.setRetired(slot, retired);
	}

	/** False: its slot is not free yet. */
	fold({ key, slot }: ListenerRecord): boolean {
		this.#bases.fold(slot);
		const request = Buffer.alloc(listenerRequestLayout.size);
		request.write(key, listenerRequestLayout.key, listenerKeyLayout.size, 'latin1');
		request.writeUInt32LE(slot, listenerRequestLayout.slot);
		return this.#bpf.run('toascope_free_listener', request) === 0;
	}

	#options(values: Buffer): ListenerRecord['options'] {
		const found: { profile: string; segment: (typeof segments)[number]; count: bigint }[] = [];
		for (let id = 1; id < limit.PROFILE_SLOTS; id++) {
			segments.forEach((segment, place) => {
				const count = values.readBigUInt64LE(listenerLayout.options + 8 * (id * limit.SEGMENTS + place));
				if (count > 0n) found.push({ profile: this.#profileName(id) ?? `profile-${id}`, segment, count });
			});
		}
		return found;
	}
}

/** Entries of the map `exported`, one after the other. */
export function encodeAdmissions(admissions: readonly Admission[]): { keys: Buffer; values: Buffer } {
	const keys = Buffer.alloc(admissions.length * clientKeyLayout.size);
	const values = Buffer.alloc(admissions.length * exportedLayout.size);
	admissions.forEach(({ key, exported: { base, sinceNs } }, index) => {
		keys.write(key, index * clientKeyLayout.size, clientKeyLayout.size, 'latin1');
		const at = index * exportedLayout.size;
		// most have none: they are zeros already
		if (base !== noTraffic) writeTraffic(values, at + exportedLayout.base, base);
		values.writeBigUInt64LE(sinceNs, at + exportedLayout.sinceNs);
	});
	return { keys, values };
}

/** One of them: its key and its value. */
export function admissionAt(keys: Buffer, values: Buffer, index: number): [key: Buffer, value: Buffer] {
	const [key, value] = [index * clientKeyLayout.size, index * exportedLayout.size];
	return [keys.subarray(key, key + clientKeyLayout.size), values.subarray(value, value + exportedLayout.size)];
}

/** The map `exported`, whole: the set that was pinned. */
export function readExported(bpf: BpfObject): Map<string, Exported> {
	const map = new MapReader(bpf, 'exported');
	const set = new Map<string, Exported>();
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

/** The map `listener_since`: Unix nanoseconds by the listener's key. */
export function readListenerSince(bpf: BpfObject): Map<string, bigint> {
	const map = new MapReader(bpf, 'listener_since');
	return new Map(
		Array.from({ length: map.read() }, (_, index) => [map.key(index), map.values.readBigUInt64LE(8 * index)]),
	);
}

/** The map `unknown_options`. */
export function readUnknownOptions(bpf: BpfObject): UnknownOption[] {
	const map = new MapReader(bpf, 'unknown_options');
	return Array.from({ length: map.read() }, (_, index) => ({
		kind: map.keys[index * unknownOptionLayout.size + unknownOptionLayout.kind] ?? 0,
		length: map.keys[index * unknownOptionLayout.size + unknownOptionLayout.length] ?? 0,
		connections: map.values.readBigUInt64LE(index * 8),
	}));
}
