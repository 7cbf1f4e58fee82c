#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
/** The command `toascope`. The only file that ends the process. */
import { Command, CommanderError } from 'commander';
import { configCheck } from './cli/config.ts';
import { exitCode, ToascopeError } from './errors.ts';
import { version } from './version.ts';

const program = new Command('toascope')
	.description('Names the real client of NAT64 and load-balanced TCP connections, from the TOA option.')
	.version(version)
	.exitOverride()
	.showHelpAfterError('(toascope --help tells more)');

/** What the chosen command says. */
let code: number = exitCode.done;

program
	.command('run')
	.description('run the daemon in the foreground')
	.option('--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)')
	.action(async (options: { config?: string }) => {
		const { run } = await import('./cli/run.ts');
		code = await run(options);
	});

program
	.command('demo')
	.description('show it at work in a lab of three network namespaces on this machine')
	.option('--once', 'make the connections, check them, and end')
	.option('--clients <n>', 'distinct clients', positive, 50)
	.option('--connections <n>', 'connections in all (with --once)', positive, 500)
	.option('--json', 'print one JSON object at the end (with --once)')
	.option('--listen <address>', 'where /metrics is served', '127.0.0.1:10646')
	.action(async (options: { once?: true; clients: number; connections: number; json?: true; listen: string }) => {
		const { demo } = await import('./cli/demo.ts');
		code = await demo(options);
	});

program
	.command('lookup')
	.description('who is behind a peer, as the running daemon knows it')
	.argument('<ADDR:PORT>', 'address and port of the balancer, as the server sees them; IPv6 in brackets')
	.option('--json', 'print the answer as JSON')
	.option('--socket <path>', "the daemon's Unix socket (default: http.socket of the configuration)")
	.option('--url <url>', 'ask over HTTP instead, such as http://127.0.0.1:10646')
	.option('--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)')
	.action(async (target: string, options: { json?: true; socket?: string; url?: string; config?: string }) => {
		const { findDaemon, lookup } = await import('./cli/lookup.ts');
		const daemon = findDaemon(options, process.env);
		code = await lookup(target, { daemon, json: options.json === true });
	});

program
	.command('doctor')
	.description('what this host can do, what works, and why the rest does not')
	.option('--json', 'print the findings as JSON')
	.option('--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)')
	.action(async (options: { json?: true; config?: string }) => {
		const { doctor } = await import('./cli/doctor.ts');
		code = await doctor(options);
	});

program
	.command('config')
	.description('work with configuration files')
	.command('check')
	.description('say what is wrong with a file, or what it changes from the defaults')
	.argument('<file>')
	.option('--json', 'print the result as JSON')
	.action((file: string, options: { json?: true }) => {
		code = configCheck(file, { json: options.json === true, write: (text) => void process.stdout.write(text) });
	});

function positive(text: string): number {
	const number = Number(text);
	if (Number.isSafeInteger(number) && number > 0) return number;
	throw new CommanderError(exitCode.usage, 'toascope.number', `error: '${text}' is not a whole number above 0`);
}

function report(error: unknown): number {
	// commander has printed its own
	if (error instanceof CommanderError) {
		if (error.code === 'toascope.number') process.stderr.write(`${error.message}\n`);
		return error.exitCode === 0 ? exitCode.done : exitCode.usage;
	}
	if (!(error instanceof ToascopeError)) {
		process.stderr.write(`toascope: ${error instanceof Error ? error.stack : String(error)}\n`);
		return exitCode.failed;
	}
	process.stderr.write(`toascope: ${error.message} [${error.code}]\n`);
	if (error.hint !== undefined) process.stderr.write(`  ${error.hint}\n`);
	if (error.detail !== undefined) process.stderr.write(`${error.detail.replaceAll(/^/gm, '  | ')}\n`);
	return error.exitCode;
}

// who reads us may go away (head): then there is nobody to tell
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
	if (error.code !== 'EPIPE') process.stderr.write(`toascope: standard output: ${error.message}\n`);
	process.exit(error.code === 'EPIPE' ? exitCode.done : exitCode.failed);
});

try {
	await program.parseAsync();
} catch (error) {
	code = report(error);
}
process.exitCode = code;
