// SPDX-License-Identifier: Apache-2.0
/** Loads the BPF object as the configuration and this kernel want it. */
import type { Config } from '../config/config.ts';
import { limit } from './layout.gen.ts';
import { type BpfObject, type BpfOptions, type NativeError, native, type Probed } from './native.ts';
import type { Pins } from './pins.ts';

export interface Log {
	info(context: object, message: string): void;
	warn(context: object, message: string): void;
}

/** The programs on accept; none where fexit is refused. */
export function fexitPrograms({ features, innerAccept }: Probed): readonly string[] {
	if (features.fexit !== '') return [];
	return innerAccept ? ['toascope_accept', 'toascope_accept_inner'] : ['toascope_accept'];
}

/** Maps that outlive a daemon. The others hold its configuration, which each daemon brings along. */
const stateMaps = [
	'sockets',
	'syn_kept',
	'listeners',
	'listener_keys',
	'listener_places',
	'clients',
	'exported',
	'ledger',
	'connections',
	'peer_tags',
	'closed_queue',
	'fresh',
	'ring',
	'drops',
	'unknown_options',
];

/**
 * Loads the object: sizes from the configuration, programs as this kernel takes them. Pinned maps are adopted; those of
 * other sizes are given up.
 * @throws {NativeError} the kernel's refusal
 */
export function load(config: Config, probed: Probed, pins?: Pins, log?: Log): BpfObject {
	const { clients, connections, listeners, bpf } = config;
	const options: BpfOptions = {
		mapEntries: {
			listeners: listeners.max + 1,
			listener_keys: listeners.max + 1,
			listener_places: listeners.max + 1,
			clients: clients.capacity,
			exported: clients.capacity,
			connections: connections.max,
			peer_tags: Math.ceil(connections.max / limit.TAGS_IN_LINE),
			closed_queue: connections.max,
			ring: bpf.ringBytes,
		},
		autoload: Object.fromEntries(fexitPrograms(probed).map((program) => [program, true])),
		canSetError: probed.features.setError === '',
		...(pins === undefined ? {} : { pin: { directory: pins.maps, maps: stateMaps } }),
	};
	try {
		return new (native().BpfObject)(options);
	} catch (error) {
		if (pins === undefined || !(error as NativeError).log?.includes('parameter mismatch')) throw error;
		// what is pinned goes only when the new sizes are known to fit
		new (native().BpfObject)({ ...options, pin: undefined }).close();
		log?.warn({ pins: pins.maps }, 'the pinned maps have other sizes than the configuration: counters start from zero');
		pins.clear();
		return new (native().BpfObject)(options);
	}
}
