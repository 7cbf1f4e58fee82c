// SPDX-License-Identifier: Apache-2.0
/** `toascope doctor`. */
import { Option } from 'commander';
import type { CommandSpec } from '../command.ts';
import { type ConfigOption, type JsonOption, jsonOption } from './options.ts';

export const doctorCommand: CommandSpec<ConfigOption & JsonOption> = {
	name: 'doctor',
	description: 'report what this host can do, what works, whether TOA arrives, and why the rest fails',
	options: [
		jsonOption('print the findings as JSON'),
		new Option(
			'--config <file>',
			'configuration (default: that of the running daemon, otherwise /etc/toascope/toascope.yaml)',
		),
	],
	exitCodes: {
		done: 'toascope is running, or can run here',
		failed: 'the doctor itself failed',
		usage: 'the configuration is wrong',
		unsupported: 'toascope cannot run here',
	},
	async run(options) {
		const { doctor } = await import('../doctor.ts');
		return doctor(options);
	},
};
