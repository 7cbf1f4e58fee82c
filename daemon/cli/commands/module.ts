// SPDX-License-Identifier: Apache-2.0
/** `toascope module build`, `load`, `unload`, `status` and `install`. */
import { type CommandSpec, write } from '../command.ts';
import { type ConfigOption, configOption, type JsonOption, jsonOption } from './options.ts';

const module = () => import('../module.ts');

export const moduleBuildCommand: CommandSpec<object> = {
	name: 'build',
	description: 'build toa.ko for the running kernel, below /var/lib/toascope/module',
	argument: ['[release]', 'another kernel whose headers are installed, as printed by uname -r'],
	exitCodes: { done: 'it is built', failed: 'the build failed', unsupported: 'headers or tools are missing' },
	run: async (_options, release) => (await module()).build(release, write),
};

export const moduleLoadCommand: CommandSpec<ConfigOption> = {
	name: 'load',
	description: "load toa.ko, built if needed, with the configuration's profiles and networks, and verify that it works",
	argument: ['[file]', 'this toa.ko instead of the one for the running kernel'],
	options: [configOption],
	exitCodes: { done: 'it is loaded and works', failed: 'it was not loaded', unsupported: 'this host accepts none' },
	run: async (options, file) => (await module()).load(file, options, write),
};

export const moduleUnloadCommand: CommandSpec<ConfigOption> = {
	name: 'unload',
	description: 'unload toa.ko, after detaching what a stopped daemon has left attached to it',
	options: [configOption],
	exitCodes: { done: 'it is not loaded (any more)', failed: 'it is in use', unsupported: "it is not toascope's" },
	run: async (options) => (await module()).unload(options, write),
};

export const moduleStatusCommand: CommandSpec<JsonOption> = {
	name: 'status',
	description: 'show whose toa.ko is loaded, what is built and installed, and what building and loading require',
	options: [jsonOption('print it as JSON')],
	exitCodes: { done: 'the toa.ko of this version is loaded', failed: 'none is loaded, or another one' },
	run: async (options) => (await module()).status(options, write),
};

export const moduleInstallCommand: CommandSpec<ConfigOption> = {
	name: 'install',
	description: "have DKMS build toa.ko for this and each new kernel, loaded at boot with the configuration's networks",
	options: [configOption],
	exitCodes: {
		done: 'it is installed',
		failed: 'dkms failed',
		unsupported: 'dkms, headers or tools are missing',
	},
	run: async (options) => (await module()).install(options, write),
};
