// SPDX-License-Identifier: Apache-2.0
/** `toascope config check`. */
import { type CommandSpec, write } from '../command.ts';
import { type JsonOption, jsonOption } from './options.ts';

export const configCheckCommand: CommandSpec<JsonOption> = {
	name: 'check',
	description: 'report what is wrong with a file, or how it differs from the defaults',
	argument: ['<file>', ''],
	options: [jsonOption('print the result as JSON')],
	exitCodes: {
		done: 'the file is valid',
		failed: 'the check itself failed',
		usage: 'the file is wrong',
		unsupported: 'the file is missing or cannot be read',
	},
	async run({ json }, file = '') {
		const { checkConfig } = await import('../config.ts');
		return checkConfig(file, { json: json === true, write });
	},
};
