// SPDX-License-Identifier: Apache-2.0
/** Loads the BPF object as the configuration and this kernel want it. */
import type { Config } from '../config/config.ts';
import { type LogLine, type LogSink, logLines, tell } from '../log_lines.ts';
import { standsOn } from './foundation.ts';
import { limit } from './layout.gen.ts';
import { type BpfObject, type BpfOptions, type NativeError, native, type Probed } from './native.ts';
import type { Pins } from './pins.ts';

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
	'spare_listeners',
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

/** The same, where programs of type tracing can take no lock (bpf/turns.h). */
const turnMaps = ['turns', 'wishes', 'unaccepted'];

/** Where the state outlives the daemon, and which sockets it is of. */
export interface Pinning {
	readonly pins: Pins;
	readonly cgroup: string;
	readonly log: LogSink;
}

/**
 * Loads the object: sizes from the configuration, programs as this kernel takes them. Pinned maps are adopted; those of
 * other sizes, or that stand on another foundation, are given up.
 * @throws {NativeError} the kernel's refusal
 */
export function load(config: Config, probed: Probed, pinning?: Pinning): BpfObject {
	const { clients, connections, listeners, bpf } = config;
	const tracingLocks = probed.features.tracingLocks === '';
	const maps = tracingLocks ? stateMaps : [...stateMaps, ...turnMaps];
	const options: BpfOptions = {
		mapEntries: {
			listeners: listeners.max + 1,
			listener_keys: listeners.max + 1,
			listener_places: listeners.max + 1,
			spare_listeners: listeners.max,
			clients: clients.capacity,
			exported: clients.capacity,
			connections: connections.max,
			peer_tags: Math.ceil(connections.max / limit.TAGS_IN_LINE),
			closed_queue: connections.max,
			unaccepted: connections.max,
			ring: bpf.ringBytes,
		},
		autoload: Object.fromEntries(fexitPrograms(probed).map((program) => [program, true])),
		canSetError: probed.features.setError === '',
		registersHelper: probed.registersHelper,
		tracingLocks,
		...(pinning === undefined ? {} : { pin: { directory: pinning.pins.maps, maps } }),
	};
	if (pinning === undefined) return new (native().BpfObject)(options);
	const { pins, cgroup, log } = pinning;
	const startOver = (why: LogLine): BpfObject => {
		// what is pinned goes only when the new sizes are known to fit
		new (native().BpfObject)({ ...options, pin: undefined }).close();
		tell(log, why, { pins: pins.maps });
		pins.clear();
		return new (native().BpfObject)(options);
	};
	// connections have opened and closed unseen, or the maps deny each other: places and clients would be held for ever
	if (pins.adopted && !pins.has(maps, ['toascope_sockops'])) return startOver(logLines.pinsMissing);
	let object: BpfObject;
	try {
		object = new (native().BpfObject)(options);
	} catch (error) {
		if (!(error as NativeError).log?.includes('parameter mismatch')) throw error;
		return startOver(logLines.otherSizes);
	}
	if (standsOn(object, config, cgroup)) return object;
	object.close();
	return startOver(logLines.otherFoundation);
}
