// SPDX-License-Identifier: Apache-2.0
/** The configuration: is it one, and whom does it believe? */
import type { Config } from '../config/config.ts';
import { formatPorts } from '../config/ports.ts';
import { type Check, check } from './check.ts';

/** `error` is what is wrong with the file; the defaults stand for it then. */
export function configurationChecks(config: Config, file: string | undefined, error: Error | undefined): Check[] {
	return [configuration(file, error), trust(config), scope(config)];
}

function configuration(file: string | undefined, error: Error | undefined): Check {
	const title = 'Configuration';
	if (error === undefined)
		return check('configuration', title, 'ok', file ?? 'no file: the defaults, and the environment over them');
	const lines = error.message.split('\n');
	const more = lines.length > 1 ? ` (and ${lines.length - 1} more)` : '';
	const advice = 'it does not start with that; the lines above and below are for the defaults';
	return check('configuration', title, 'fail', `${lines[0]}${more}`, advice);
}

function trust({ trust: networks }: Config): Check {
	return networks.length > 0
		? check('trust', 'Trusted senders', 'ok', networks.map(({ text }) => text).join(', '))
		: check(
				'trust',
				'Trusted senders',
				'warn',
				'trust is empty: every sender of a TOA option is believed',
				'set trust to the networks of your balancers, else any client can claim any address',
			);
}

function scope({ listeners: { ports }, profiles }: Config): Check {
	const names = profiles.map(({ name }) => name).join(', ');
	const where = ports === 'all' ? 'all local ports' : `local ports ${formatPorts(ports)}`;
	return check('scope', 'What is looked for', 'ok', `${names} on ${where}`);
}
