// SPDX-License-Identifier: Apache-2.0
/** Looks at the host, the configuration and the running daemon. Changes nothing. */
import { load } from '../capture/load.ts';
import { native } from '../capture/native.ts';
import { missingCapabilities } from '../capture/privileges.ts';
import { explain } from '../capture/refusal.ts';
import type { Config } from '../config/config.ts';
import { type Check, check, firstLine } from './check.ts';
import { configurationChecks } from './configuration.ts';
import { daemonChecks } from './daemon.ts';
import { choiceChecks, featureChecks, type Tried } from './features.ts';
import { type Host, hostChecks } from './host.ts';

export interface Subject {
	readonly host: Host;
	/** The defaults where the file is wrong. */
	readonly config: Config;
	/** Undefined: there is none, the defaults hold. */
	readonly file: string | undefined;
	readonly configError: Error | undefined;
	/** Of this command. */
	readonly version: string;
}

export async function examine({ host, config, file, configError, version }: Subject): Promise<Check[]> {
	const about = hostChecks(host, config);
	const features = tryFeatures(host, config);
	const runs = [...about, ...features.checks].every(({ state }) => state !== 'fail');
	return [
		...about,
		...features.checks,
		...choiceChecks(features.tried, config, runs),
		...configurationChecks(config, file, configError),
		...(await daemonChecks(config, version)),
	];
}

/** The programs are loaded with the configuration's sizes and thrown away: nothing is attached, nothing pinned. */
function tryFeatures(host: Host, config: Config): { checks: Check[]; tried?: Tried } {
	if (missingCapabilities(host.status).length > 0 || !host.hasBtf) return { checks: [] };
	try {
		const probed = native().probe();
		let refusal: string | undefined;
		try {
			load(config, probed).close();
		} catch (error) {
			refusal = firstLine(explain(error, config));
		}
		const tried = { probed, refusal };
		return { checks: featureChecks(tried), tried };
	} catch (error) {
		return { checks: [check('addon', 'Addon', 'fail', firstLine(error), 'npm run build')] };
	}
}
