// SPDX-License-Identifier: Apache-2.0
/** `toascope run`. */
import type { CommandSpec } from '../command.ts';
import { type ConfigOption, configOption } from './options.ts';

export const runCommand: CommandSpec<ConfigOption> = {
	name: 'run',
	description: 'run the daemon in the foreground',
	options: [configOption],
	exitCodes: {
		done: 'it was stopped by a signal (SIGTERM, SIGINT)',
		failed: 'it could not start: something is in use, or does not fit in memory',
		unsupported: 'this host cannot run it: a capability, BTF, cgroup v2 or bpffs is missing',
	},
	async run(options) {
		const { run } = await import('../run.ts');
		// everything has ended and is logged; an exit through the event loop would remove the
		// signal handlers first
		return process.exit(await run(options));
	},
};
