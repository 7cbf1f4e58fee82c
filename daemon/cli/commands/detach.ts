// SPDX-License-Identifier: Apache-2.0
/** `toascope detach`. */
import { Option } from 'commander';
import { type CommandSpec, write } from '../command.ts';
import type { ConfigOption } from './options.ts';

export const detachCommand: CommandSpec<ConfigOption> = {
	name: 'detach',
	description: 'detach what a stopped daemon has left attached, and remove its counters',
	options: [new Option('--config <file>', 'configuration, for bpf.pin (default: /etc/toascope/toascope.yaml)')],
	exitCodes: {
		done: 'nothing is attached (any more) through pins in bpf.pin',
		failed: 'a daemon is running, or the kernel refused',
		unsupported: 'this user is not allowed to, or the pins are not writable',
	},
	async run(options) {
		const { detach } = await import('../detach.ts');
		return detach({ ...options, env: process.env, write });
	},
};
