// SPDX-License-Identifier: Apache-2.0
/** Loads the BPF object as the configuration and this kernel want it. */
import type { Config } from '../config/config.ts';
import { type LogLine, type LogSink, logLines, tell } from '../log_lines.ts';
import { matchesScope } from './foundation.ts';
import { type BpfObject, type BpfOptions, type Features, type NativeError, native, type Probed } from './native.ts';
import type { Pins } from './pins.ts';
import type { ProviderName } from './provider.ts';
import type { ServedCgroup } from './served_cgroup.ts';
import { mapEntries } from './sizes.ts';

/** The programs on accept; none where fexit is refused. */
export function fexitPrograms({ features, innerAccept }: Probed): readonly string[] {
	if (features.fexit !== '') return [];
	return innerAccept ? ['toascope_accept', 'toascope_accept_inner'] : ['toascope_accept'];
}

/** The program that reads open connections. */
export function flushProgram({ storageIterator }: Features): 'toascope_flush' | 'toascope_flush_netns' {
	return storageIterator === '' ? 'toascope_flush' : 'toascope_flush_netns';
}

/** What listens to toa.ko. That which forgets sockets comes first: none is to be remembered for ever. */
export const modulePrograms = [
	'toascope_toa_gone',
	'toascope_toa_pending',
	'toascope_toa_peer',
	'toascope_toa_no_peer',
];

/** What toa.ko said and nobody has heard yet. */
const announced = 'announced';
/** The same, where that is busy. */
const announcedAside = 'announced_aside';
/** Places in it: in use from the module's word on a segment until the callback of the same segment. */
const announcedMax = 4096;

const allMaps = [
	'sockets',
	'mptcp_states',
	'answers',
	'syn_kept',
	'listeners',
	'listener_keys',
	'listener_bases',
	'listener_places',
	'listener_since',
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

/** More of them, where programs of type tracing can take no lock (bpf/turns.h). */
const turnMaps = ['turns', 'wishes', 'unaccepted'];

/** Maps that outlive a daemon. The others hold its configuration, which each daemon brings along. */
export function stateMaps(reader: ProviderName, { tracingLocks }: Features): readonly string[] {
	return [
		...allMaps,
		...(tracingLocks === '' ? [] : turnMaps),
		...(reader === 'module' ? [announced, announcedAside] : []),
	];
}

/** What decides how the object is loaded. */
export interface Wanted {
	readonly config: Config;
	readonly probed: Probed;
	/** What reads the options. */
	readonly reader: ProviderName;
}

/** Where the state outlives the daemon. */
export interface Pinning {
	readonly pins: Pins;
	readonly cgroup: ServedCgroup;
	readonly log: LogSink;
}

/**
 * Loads the object: sizes from the configuration, programs as this kernel takes them. Pinned maps are adopted; those of
 * other sizes are set aside, for their counters to be taken over, and those that stand on another foundation given up.
 * @throws {NativeError} the kernel's refusal
 */
export function load({ config, probed, reader }: Wanted, pinning?: Pinning): BpfObject {
	const fromModule = reader === 'module';
	const programs = [...fexitPrograms(probed), ...(fromModule ? modulePrograms : [])];
	const maps = stateMaps(reader, probed.features);
	const options: BpfOptions = {
		mapEntries: {
			...mapEntries(config),
			[announced]: fromModule ? announcedMax : 1,
			[announcedAside]: fromModule ? announcedMax : 1,
		},
		autoload: {
			[flushProgram(probed.features)]: true,
			toascope_listeners: probed.features.listeningSockets === '',
			...Object.fromEntries(programs.map((program) => [program, true])),
		},
		canSetError: probed.features.setError === '',
		taskHelpers: probed.taskHelpers,
		mptcpHelpers: probed.mptcpHelpers,
		transparentBit: probed.transparentBit,
		kernelReads: probed.features.kernelReads === '',
		tracingLocks: probed.features.tracingLocks === '',
		fromModule,
		...(pinning === undefined ? {} : { pin: { directory: pinning.pins.maps, maps } }),
	};
	if (pinning === undefined) return new (native().BpfObject)(options);
	const { pins, cgroup, log } = pinning;
	const anew = (why: LogLine | undefined, leave: () => void): BpfObject => {
		// what is pinned goes only when the new sizes are known to fit
		new (native().BpfObject)({ ...options, pin: undefined }).close();
		if (why !== undefined) tell(log, why, { pins: pins.shown });
		leave();
		return new (native().BpfObject)(options);
	};
	const startOver = (why: LogLine | undefined) => anew(why, () => pins.clear());
	// connections have opened and closed unseen, or the maps deny each other: places and clients would be held for ever
	if (pins.adopted && !isComplete(pins, probed.features)) {
		// beside another layout's it was a start that was killed before it counted: all is in the other still
		return startOver(pins.otherLayouts.length > 0 ? undefined : logLines.pinsMissing);
	}
	let object: BpfObject;
	try {
		object = new (native().BpfObject)(options);
	} catch (error) {
		if (!(error as NativeError).log?.includes('parameter mismatch')) throw error;
		return anew(logLines.otherSizes, () => pins.setAside());
	}
	if (matchesScope(object, config, cgroup)) return object;
	object.close();
	return startOver(logLines.otherFoundation);
}

/** Whether a daemon before this one left all that it needed for its counters to be exact. */
function isComplete(pins: Pins, features: Features): boolean {
	const reader = pins.has([announced], []) ? 'module' : 'bpf';
	const programs = reader === 'module' ? ['toascope_sockops', ...modulePrograms] : ['toascope_sockops'];
	return pins.has(stateMaps(reader, features), programs);
}
