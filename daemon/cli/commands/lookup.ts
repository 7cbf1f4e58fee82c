// SPDX-License-Identifier: Apache-2.0
/** `toascope lookup`. */
import { Option } from 'commander';
import type { CommandSpec } from '../command.ts';
import { type ConfigOption, configOption, type JsonOption, jsonOption } from './options.ts';

interface LookupFlags extends ConfigOption, JsonOption {
	readonly at?: string;
	readonly local?: string;
	readonly socket?: string;
	readonly url?: string;
}

export const lookupCommand: CommandSpec<LookupFlags> = {
	name: 'lookup',
	description:
		'show who is behind a peer, as the running daemon knows it, or print the query for the store of its connection records',
	argument: ['<ADDR:PORT>', 'address and port of the balancer, as the server sees them; IPv6 in brackets'],
	options: [
		new Option(
			'--at <time>',
			"only connections that were open then, in local time unless it says otherwise: 12:00:05, 2026-01-31 12:00:05, RFC 3339, a web server's 31/Jan/2026:12:00:05 +0000, or Unix seconds",
		),
		new Option('--local <ADDR:PORT>', 'only connections to this address and port of the server'),
		jsonOption('print the answer as JSON'),
		new Option('--socket <path>', "the daemon's Unix socket (default: http.socket of the configuration)"),
		new Option('--url <url>', 'ask over HTTP instead, such as http://127.0.0.1:10646'),
		configOption,
	],
	exitCodes: {
		done: 'a connection is known',
		failed: 'no connection is known; standard output has a query if connection records are sent',
		unsupported: 'no daemon could be reached: none is listening, or this user is not allowed to use it',
	},
	async run(options, target = '') {
		const { daemonAddress, lookup } = await import('../lookup.ts');
		const { at, local, json } = options;
		return lookup(target, { daemon: daemonAddress(options, process.env), at, local, json: json === true });
	},
};
