// SPDX-License-Identifier: Apache-2.0
/** Loads the BPF object as the configuration and this kernel want it. */
import type { Config } from '../config/config.ts';
import { type LogLine, type LogSink, logLines, tell } from '../log_lines.ts';
import { matchesScope } from './foundation.ts';
import { type BpfObject, type BpfOptions, type NativeError, native, type Probed } from './native.ts';
import type { Pins } from './pins.ts';
import { possibleCpus } from './possible_cpus.ts';
import type { ProviderName } from './provider.ts';
import type { ServedCgroup } from './served_cgroup.ts';
import { listenerRows, mapEntries } from './sizes.ts';

/** The programs on accept; none where fexit is refused, or accepts are not to be observed. */
export function fexitPrograms(
	{ features, innerAccept }: Probed,
	{ accept }: Pick<Config, 'accept'>,
): readonly string[] {
	if (!accept || features.fexit !== '') return [];
	return innerAccept ? ['toascope_accept', 'toascope_accept_inner'] : ['toascope_accept'];
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
	'fallback',
	'extras',
	'counted',
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
	'prefix_clients',
	'exported',
	'ledger',
	'connections',
	'peer_tags',
	'fresh_listeners',
	'ring',
	'drops',
	'unknown_options',
];

/** Maps that outlive a daemon. The others hold its configuration, which each daemon brings along. */
export function stateMaps(reader: ProviderName): readonly string[] {
	return [...allMaps, ...(reader === 'module' ? [announced, announcedAside] : [])];
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
	const programs = [...fexitPrograms(probed, config), ...(fromModule ? modulePrograms : [])];
	const maps = stateMaps(reader);
	const entries = mapEntries(config);
	const options: BpfOptions = {
		listenerRows: listenerRows(entries.listeners, possibleCpus()),
		mapEntries: {
			...entries,
			[announced]: fromModule ? announcedMax : 1,
			[announcedAside]: fromModule ? announcedMax : 1,
		},
		autoload: {
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
	if (pins.adopted && !isComplete(pins)) {
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
	if (matchesScope(object, cgroup)) return object;
	object.close();
	return startOver(logLines.otherFoundation);
}

/** Whether a daemon before this one left all that it needed for its counters to be exact. */
function isComplete(pins: Pins): boolean {
	const reader = pins.has([announced], []) ? 'module' : 'bpf';
	const programs = reader === 'module' ? ['toascope_sockops', ...modulePrograms] : ['toascope_sockops'];
	return pins.has(stateMaps(reader), programs);
}
