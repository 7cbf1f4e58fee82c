// SPDX-License-Identifier: Apache-2.0
/** `toascope reload`. */
import { type CommandSpec, write } from '../command.ts';
import { type ConfigOption, configOption } from './options.ts';

export const reloadCommand: CommandSpec<ConfigOption> = {
	name: 'reload',
	description: 'make the running daemon read its configuration again, and report the outcome',
	options: [configOption],
	exitCodes: {
		done: 'the contents of the file are in force',
		failed: 'the daemon refused it: the previous configuration stays in force',
		usage: 'the configuration is wrong, and the daemon was not signalled',
		unsupported: 'no daemon could be reached, or the file cannot be read',
	},
	async run(options) {
		const { reload } = await import('../reload.ts');
		return reload({ ...options, env: process.env, write });
	},
};
