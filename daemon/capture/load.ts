// SPDX-License-Identifier: Apache-2.0
/** Loads the BPF object for the configuration and the running kernel. */

import { type BpfObject, type BpfOptions, type NativeError, native, type Probed } from '../../native/binding.ts';
import type { Config } from '../config/config.ts';
import { possibleCpus } from '../host/possible_cpus.ts';
import { type LogLine, type LogSink, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { listenerRows, mapEntries } from './maps/sizes.ts';
import { matchesScope } from './pinning/counter_scope.ts';
import type { Pins } from './pinning/pins.ts';
import type { ProviderName } from './provider.ts';
import type { ServedCgroup } from './served_cgroup.ts';

/** The programs on accept(); none if fexit is refused, or accepts should not be observed. */
export function fexitPrograms(
	{ features, innerAccept }: Probed,
	{ accept }: Pick<Config, 'accept'>,
): readonly string[] {
	if (!accept || features.fexit !== '') return [];
	return innerAccept ? ['toascope_accept', 'toascope_accept_inner'] : ['toascope_accept'];
}

/**
 * The programs on the tracepoints of toa.ko. toa_gone is attached first, so that no report outlives
 * its socket.
 */
export const modulePrograms = [
	'toascope_toa_gone',
	'toascope_toa_pending',
	'toascope_toa_peer',
	'toascope_toa_no_peer',
];

/** The map of reports by toa.ko that no program has read yet. */
const moduleReports = 'module_reports';
/** The map of reports that arrive while `module_reports` is busy. */
const moduleReportsAside = 'module_reports_aside';
/**
 * The entries of each: one is in use from the module's report on a segment until the callback of
 * the same segment.
 */
const moduleReportsMax = 4096;

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
	'listener_index',
	'listener_since',
	'spare_listeners',
	'clients',
	'prefix_clients',
	'exported',
	'meta',
	'connections',
	'slot_hashes',
	'change_marks',
	'evicted_connections',
	'fresh_listeners',
	'ring',
	'drops',
	'unknown_options',
];

/**
 * The maps that outlive a daemon. The others have its configuration, which each daemon writes
 * itself.
 */
export function stateMaps(reader: ProviderName): readonly string[] {
	return [...allMaps, ...(reader === 'module' ? [moduleReports, moduleReportsAside] : [])];
}

/** The inputs that determine how the object is loaded. */
export interface LoadInputs {
	readonly config: Config;
	readonly probed: Probed;
	/** The provider that reads the options. */
	readonly reader: ProviderName;
}

/** The pins in which the state outlives the daemon. */
export interface Pinning {
	readonly pins: Pins;
	readonly cgroup: ServedCgroup;
	readonly log: LogSink;
}

/**
 * Loads the object: map sizes from the configuration, programs that this kernel supports. Pinned
 * maps are adopted. If they have other sizes they are set aside, so that their counters are
 * migrated; if they have another scope they are discarded.
 * @throws {NativeError} with the error of the kernel
 */
export function load({ config, probed, reader }: LoadInputs, pinning?: Pinning): BpfObject {
	const fromModule = reader === 'module';
	const programs = [...fexitPrograms(probed, config), ...(fromModule ? modulePrograms : [])];
	const maps = stateMaps(reader);
	const entries = mapEntries(config);
	const options: BpfOptions = {
		listenerRows: listenerRows(entries.listeners, possibleCpus()),
		mapEntries: {
			...entries,
			[moduleReports]: fromModule ? moduleReportsMax : 1,
			[moduleReportsAside]: fromModule ? moduleReportsMax : 1,
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
	const loadFresh = (why: LogLine | undefined, releasePins: () => void): BpfObject => {
		// load without pins first: the pinned maps are given up only if the new sizes fit
		new (native().BpfObject)({ ...options, pin: undefined }).close();
		if (why !== undefined) logLine(log, why, { pins: pins.displayPath });
		releasePins();
		return new (native().BpfObject)(options);
	};
	const startOver = (why: LogLine | undefined) => loadFresh(why, () => pins.clear());
	// connections have opened and closed unobserved, or the maps contradict each other: slots and
	// clients would stay in use forever
	if (pins.adopted && !hasAllPins(pins)) {
		// next to another layout, these pins are of a start that was killed before it counted: the
		// other layout still has everything
		return startOver(pins.otherLayouts.length > 0 ? undefined : logLines.pinsMissing);
	}
	let object: BpfObject;
	try {
		object = new (native().BpfObject)(options);
	} catch (error) {
		if (!(error as NativeError).log?.includes('parameter mismatch')) throw error;
		return loadFresh(logLines.otherSizes, () => pins.setAside());
	}
	if (matchesScope(object, cgroup)) return object;
	object.close();
	return startOver(logLines.otherScope);
}

/** Whether an earlier daemon left everything that its counters need to be exact. */
function hasAllPins(pins: Pins): boolean {
	const reader = pins.has([moduleReports], []) ? 'module' : 'bpf';
	const programs = reader === 'module' ? ['toascope_sockops', ...modulePrograms] : ['toascope_sockops'];
	return pins.has(stateMaps(reader), programs);
}
