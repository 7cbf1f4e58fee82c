// SPDX-License-Identifier: Apache-2.0
/** Examines the host, the configuration and the running daemon. Changes nothing. */

import { native } from '../../native/binding.ts';
import { toOperatorError } from '../capture/bpf_errors.ts';
import { load } from '../capture/load.ts';
import type { Neighbours } from '../capture/neighbours.ts';
import type { DaemonLookup, Status } from '../client/status.ts';
import { type Config, fileValues } from '../config/config.ts';
import type { ToascopeError } from '../errors.ts';
import { missingCapabilities } from '../host/privileges.ts';
import { attachedChecks, otherProgramChecks } from './attached.ts';
import { type Check, causedBy, check, firstLine } from './check.ts';
import { fileCheck, inForceChecks } from './configuration.ts';
import { daemonCheck, type FileInForce, reloadCheck } from './daemon.ts';
import { choiceChecks, featureChecks, featuresExcept, type ProbeResult } from './features.ts';
import { type Host, hostChecks } from './host.ts';
import { type Memory, memoryCheck } from './memory.ts';
import { moduleForecast } from './module.ts';
import { retainedChecks } from './retained.ts';
import { telemetryChecks } from './telemetry.ts';
import { arrivalChecks } from './traffic.ts';

export interface ExamineInput {
	readonly host: Host;
	readonly memory: Memory;
	/** From the file and the environment; the defaults where they are invalid. */
	readonly config: Config;
	/** The file without the environment, as far as it can be read. */
	readonly file: FileInForce;
	/** What is wrong with the configuration. */
	readonly configError: ToascopeError | undefined;
	/** Undefined: the daemon is configured to listen nowhere. */
	readonly found: DaemonLookup | undefined;
	/**
	 * Lists what is attached at the cgroup, except the programs with the IDs `own`. Undefined: this
	 * user is not permitted to list attached programs.
	 */
	readonly neighbours: (cgroup: string | undefined, own: readonly number[]) => Neighbours | undefined;
	/** Version of this command. */
	readonly version: string;
}

export interface Findings {
	/** A daemon answered. */
	readonly running: boolean;
	readonly checks: readonly Check[];
}

export function examine({
	host,
	memory,
	config,
	file,
	configError,
	found,
	neighbours,
	version,
}: ExamineInput): Findings {
	const status = found !== undefined && 'status' in found ? found.status : undefined;
	const running = status !== undefined;
	const values = status?.config.values ?? fileValues(config);
	const onHost = hostChecks(host, values, running);
	const features = status === undefined ? tryFeatures(host, config) : reportedFeatures(status);
	const failed = running ? undefined : [...onHost, ...features.checks].find(({ state }) => state === 'fail');
	const ownPrograms = status?.attachments?.flatMap(({ id }) => id ?? []) ?? [];
	const others = neighbours(status?.cgroup ?? (values['cgroup'] as string | null) ?? undefined, ownPrograms);
	const onFile = fileCheck(file.path, configError, running);
	const checks: Check[] = [
		daemonCheck(found, version),
		...(status === undefined ? [] : [...arrivalChecks(status), causedBy(onFile.name, reloadCheck(status, file))]),
		onFile,
		...inForceChecks(values),
		...choiceChecks(
			{
				tried: failed === undefined ? features.tried : undefined,
				module: moduleForecast(host.module),
				running: status?.provider,
				cause: failed?.name,
				compatServers: host.compatServers,
			},
			values,
			status?.recent ?? undefined,
		),
		...onHost,
		memoryCheck(memory, values, running, features.tried?.features),
		...(status === undefined ? [] : [...attachedChecks(status), ...telemetryChecks(status), ...retainedChecks(status)]),
		...otherProgramChecks(others, values),
		...features.checks,
	];
	return { running, checks };
}

interface Features {
	readonly checks: readonly Check[];
	/** Undefined: BPF could not be probed. */
	readonly tried?: ProbeResult;
}

function reportedFeatures({ refused_features: refused }: Status): Features {
	const tried: ProbeResult = { features: featuresExcept(refused), refusal: undefined, by: 'daemon' };
	return { checks: featureChecks(tried), tried };
}

/** Sizes just large enough for each map: at the largest sizes the maps use over a gigabyte. */
function small(config: Config): Config {
	return {
		...config,
		clients: { ...config.clients, capacity: 64 },
		connections: { ...config.connections, max: 64 },
		listeners: { ...config.listeners, max: 16 },
		bpf: { ...config.bpf, ringBytes: 65_536 },
	};
}

/** Loads the programs with small maps and closes them again; attaches and pins nothing. */
function tryFeatures(host: Host, config: Config): Features {
	if (missingCapabilities(host.status).length > 0 || !host.hasBtf) return { checks: [] };
	try {
		const probed = native().probe();
		let refusal: string | undefined;
		try {
			load({ config: small(config), probed, reader: 'bpf' }).close();
		} catch (error) {
			refusal = firstLine(toOperatorError(error, config));
		}
		const tried: ProbeResult = { features: probed.features, refusal, by: 'trial' };
		return { checks: featureChecks(tried), tried };
	} catch (error) {
		return { checks: [check('addon', 'Addon', 'fail', firstLine(error), 'npm run build')] };
	}
}
