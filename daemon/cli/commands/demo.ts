// SPDX-License-Identifier: Apache-2.0
/** `toascope demo`. */
import { Option } from 'commander';
import { type CommandSpec, positiveInteger } from '../command.ts';
import { jsonOption } from './options.ts';

export interface DemoFlags {
	readonly once?: true;
	readonly clients: number;
	readonly connections?: number;
	readonly json?: true;
	readonly listen: string;
	readonly backend?: number;
}

export const demoCommand: CommandSpec<DemoFlags> = {
	name: 'demo',
	description: 'show toascope at work in a lab of three network namespaces on this machine',
	options: [
		new Option('--once', 'make the connections, check them, and exit'),
		new Option('--clients <n>', 'number of distinct clients').argParser(positiveInteger).default(50),
		new Option('--connections <n>', 'number of connections (with --once; default: 500)').argParser(positiveInteger),
		jsonOption('print one JSON object at the end (with --once)'),
		new Option('--listen <address>', 'where /metrics is served').default('127.0.0.1:10646'),
		new Option('--backend <port>', 'send the clients to a server of your own on 127.0.0.1, by HTTP').argParser(
			positiveInteger,
		),
	],
	exitCodes: {
		done: 'every connection was resolved to its client',
		failed: 'a connection was not, or the lab failed',
		usage: 'wrong usage',
		unsupported: 'this host cannot run it',
	},
	async run(options) {
		const { demo } = await import('../demo/demo.ts');
		return demo(options);
	},
};
