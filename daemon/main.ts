#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
/** The command `toascope`. Apart from `toascope run`, only this file ends the process. */
import './process.ts';
import { Command, CommanderError } from 'commander';
import { addCommand, describeExitCodes } from './cli/command.ts';
import { configCheckCommand } from './cli/commands/config_check.ts';
import { demoCommand } from './cli/commands/demo.ts';
import { detachCommand } from './cli/commands/detach.ts';
import { doctorCommand } from './cli/commands/doctor.ts';
import { lookupCommand } from './cli/commands/lookup.ts';
import {
	moduleBuildCommand,
	moduleInstallCommand,
	moduleLoadCommand,
	moduleStatusCommand,
	moduleUnloadCommand,
} from './cli/commands/module.ts';
import { reloadCommand } from './cli/commands/reload.ts';
import { runCommand } from './cli/commands/run.ts';
import { exitCode, ToascopeError } from './errors.ts';
import { asInvoked } from './invocation.ts';
import { LogDestination } from './service/log_destination.ts';
import { version } from './version.ts';

let code: number = exitCode.done;
const onExit = (of: number): void => {
	code = of;
};

const program = new Command('toascope')
	.description('Names the real client of NAT64 and load-balanced TCP connections, from the TOA option.')
	.version(version)
	.exitOverride()
	.addHelpText(
		'after',
		describeExitCodes({
			done: 'done',
			failed: 'the operation failed',
			unsupported: 'this host cannot do it (toascope doctor says why)',
		}),
	);
addCommand(program, runCommand, onExit);
addCommand(program, reloadCommand, onExit);
addCommand(program, detachCommand, onExit);
addCommand(program, demoCommand, onExit);
addCommand(program, lookupCommand, onExit);
addCommand(program, doctorCommand, onExit);
const module = program.command('module').description('build, load and install the kernel module toa.ko');
addCommand(module, moduleBuildCommand, onExit);
addCommand(module, moduleLoadCommand, onExit);
addCommand(module, moduleUnloadCommand, onExit);
addCommand(module, moduleStatusCommand, onExit);
addCommand(module, moduleInstallCommand, onExit);
addCommand(program.command('config').description('work with configuration files'), configCheckCommand, onExit);

/** The command that commander reported an error for, such as `toascope config check`. */
let failedCommand = '';

/**
 * Keeps commander from printing errors itself: report() prints wrong usage like every other
 * failure.
 */
function silence(command: Command, words: string): void {
	command.configureOutput({ outputError: () => (failedCommand = words) });
	for (const inner of command.commands) silence(inner, `${words} ${inner.name()}`);
}
silence(program, 'toascope');

/**
 * The message is `error: unknown command 'runn'`, often followed by a line `(Did you mean run?)`.
 */
function usageError({ message }: CommanderError): ToascopeError {
	const [what = '', meant] = message.replace(/^error: /, '').split('\n');
	const more = `${failedCommand} --help says more`;
	const hint = meant === undefined ? more : `${meant.slice(1, -1).replace('Did', 'did')} ${more}`;
	return new ToascopeError('USAGE', what.replace(/\.$/, ''), { hint });
}

/**
 * Standard error, written without blocking: a stalled reader must not keep a failed command from
 * exiting.
 */
const errorOutput = new LogDestination({ onResumed() {} });
const flushMs = 1000;

function report(error: unknown): number {
	if (error instanceof CommanderError) {
		if (error.exitCode === 0) return exitCode.done;
		// commander has printed the help
		if (error.code.startsWith('commander.help')) return exitCode.usage;
		return report(usageError(error));
	}
	if (!(error instanceof ToascopeError)) {
		errorOutput.write(`toascope: ${error instanceof Error ? error.stack : String(error)}\n`);
		return exitCode.failed;
	}
	errorOutput.write(`toascope: ${asInvoked(error.message)} [${error.code}]\n`);
	if (error.hint !== undefined) errorOutput.write(`  ${asInvoked(error.hint)}\n`);
	if (error.detail !== undefined) errorOutput.write(`${error.detail.replaceAll(/^/gm, '  | ')}\n`);
	return error.exitCode;
}

// The reader of standard output can exit early (`head`, `true`): the rest of the output is lost,
// and the exit code is still that of the command.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
	if (error.code === 'EPIPE') return;
	process.stderr.write(`toascope: standard output: ${error.message}\n`);
	process.exit(exitCode.failed);
});

try {
	await program.parseAsync();
} catch (error) {
	code = report(error);
	await errorOutput.flush(flushMs);
}
process.exitCode = code;
