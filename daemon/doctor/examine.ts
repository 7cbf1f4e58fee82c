// SPDX-License-Identifier: Apache-2.0
/** Looks at the host, the configuration and the running daemon. Changes nothing. */
import { load } from '../capture/load.ts';
import { native } from '../capture/native.ts';
import type { Neighbours } from '../capture/neighbours.ts';
import { missingCapabilities } from '../capture/privileges.ts';
import { explain } from '../capture/refusal.ts';
import { type Config, written } from '../config/config.ts';
import type { ToascopeError } from '../errors.ts';
import { attachedChecks, neighbourChecks } from './attached.ts';
import { type Check, check, dueTo, firstLine } from './check.ts';
import { fileCheck, forceChecks } from './configuration.ts';
import { daemonCheck, type FileInForce, reloadCheck } from './daemon.ts';
import { choiceChecks, featureChecks, featuresBut, type Tried } from './features.ts';
import { type Host, hostChecks } from './host.ts';
import { type Memory, memoryCheck } from './memory.ts';
import { moduleOutlook } from './module.ts';
import type { Found, Status } from './status.ts';
import { arrivalChecks } from './traffic.ts';

export interface Subject {
	readonly host: Host;
	readonly memory: Memory;
	/** Of the file and the environment; the defaults where they are wrong. */
	readonly config: Config;
	/** What the file alone says, as far as it can be read. */
	readonly file: FileInForce;
	/** What is wrong with it. */
	readonly configError: ToascopeError | undefined;
	/** Undefined: the daemon is to listen nowhere. */
	readonly found: Found | undefined;
	/** Who is attached at the cgroup, besides the programs with these numbers; undefined: this user may not ask. */
	readonly neighbours: (cgroup: string | undefined, own: readonly number[]) => Neighbours | undefined;
	/** Of this command. */
	readonly version: string;
}

export interface Findings {
	/** A daemon answered. */
	readonly running: boolean;
	readonly checks: readonly Check[];
}

export function examine({ host, memory, config, file, configError, found, neighbours, version }: Subject): Findings {
	const status = found !== undefined && 'status' in found ? found.status : undefined;
	const running = status !== undefined;
	const values = status?.config.values ?? written(config);
	const about = hostChecks(host, values, running);
	const features = status === undefined ? tryFeatures(host, config) : toldFeatures(status);
	const broken = running ? undefined : [...about, ...features.checks].find(({ state }) => state === 'fail');
	const own = status?.attachments?.flatMap(({ id }) => id ?? []) ?? [];
	const nearby = neighbours(status?.cgroup ?? (values['cgroup'] as string | null) ?? undefined, own);
	const aboutFile = fileCheck(file.path, configError, running);
	const checks: Check[] = [
		daemonCheck(found, version),
		...(status === undefined ? [] : [...arrivalChecks(status), dueTo(aboutFile.name, reloadCheck(status, file))]),
		aboutFile,
		...forceChecks(values),
		...choiceChecks(
			{
				tried: broken === undefined ? features.tried : undefined,
				module: moduleOutlook(host.module),
				running: status?.provider,
				cause: broken?.name,
				compatServers: host.compatServers,
			},
			values,
			status?.recent ?? undefined,
		),
		...about,
		memoryCheck(memory, values, running, features.tried?.features),
		...(status === undefined ? [] : attachedChecks(status)),
		...neighbourChecks(nearby, values),
		...features.checks,
	];
	return { running, checks };
}

interface Features {
	readonly checks: readonly Check[];
	/** Undefined: it could not be tried. */
	readonly tried?: Tried;
}

function toldFeatures({ refused_features: refused }: Status): Features {
	const tried: Tried = { features: featuresBut(refused), refusal: undefined, by: 'daemon' };
	return { checks: featureChecks(tried), tried };
}

/** Enough for each map to be made: at the largest sizes all of them take more than a gigabyte. */
function small(config: Config): Config {
	return {
		...config,
		clients: { ...config.clients, capacity: 64 },
		connections: { ...config.connections, max: 64 },
		listeners: { ...config.listeners, max: 16 },
		bpf: { ...config.bpf, ringBytes: 65_536 },
	};
}

/** The programs are loaded with small maps and thrown away: nothing is attached, nothing pinned. */
function tryFeatures(host: Host, config: Config): Features {
	if (missingCapabilities(host.status).length > 0 || !host.hasBtf) return { checks: [] };
	try {
		const probed = native().probe();
		let refusal: string | undefined;
		try {
			load({ config: small(config), probed, reader: 'bpf' }).close();
		} catch (error) {
			refusal = firstLine(explain(error, config));
		}
		const tried: Tried = { features: probed.features, refusal, by: 'trial' };
		return { checks: featureChecks(tried), tried };
	} catch (error) {
		return { checks: [check('addon', 'Addon', 'fail', firstLine(error), 'npm run build')] };
	}
}
