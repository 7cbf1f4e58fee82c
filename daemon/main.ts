#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
/** The command `toascope`. The only file that ends the process. */
import './process.ts';
import { Command, CommanderError, InvalidArgumentError } from 'commander';
import { configCheck } from './cli/config.ts';
import { exitCode, ToascopeError } from './errors.ts';
import { asTyped } from './invocation.ts';
import { LogDestination } from './service/log_destination.ts';
import { version } from './version.ts';

interface LookupFlags {
	readonly at?: string;
	readonly local?: string;
	readonly json?: true;
	readonly socket?: string;
	readonly url?: string;
	readonly config?: string;
}

interface DemoFlags {
	readonly once?: true;
	readonly clients: number;
	readonly connections?: number;
	readonly json?: true;
	readonly listen: string;
	readonly backend?: number;
}

/** The last lines of a command's help. */
function exitCodes(done: string, failed: string, usage = 'wrong usage or configuration', unsupported?: string): string {
	const lines = [`0  ${done}`, `1  ${failed}`, `2  ${usage}`];
	if (unsupported !== undefined) lines.push(`3  ${unsupported}`);
	return `\nExit codes:\n${lines.map((line) => `  ${line}\n`).join('')}`;
}

const program = new Command('toascope')
	.description('Names the real client of NAT64 and load-balanced TCP connections, from the TOA option.')
	.version(version)
	.exitOverride()
	.addHelpText(
		'after',
		exitCodes('done', 'the thing asked for failed', undefined, 'this host cannot do it (toascope doctor tells why)'),
	);

const write = (text: string) => void process.stdout.write(text);

/** What the chosen command says. */
let code: number = exitCode.done;

program
	.command('run')
	.description('run the daemon in the foreground')
	.option('--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)')
	.addHelpText(
		'after',
		exitCodes(
			'it was told to stop (SIGTERM, SIGINT)',
			'it could not start: something is in use, or does not fit in memory',
			undefined,
			'this host cannot: a capability, BTF, cgroup v2 or bpffs is missing',
		),
	)
	.action(async (options: { config?: string }) => {
		const { run } = await import('./cli/run.ts');
		// all has ended, and was said; the way out by the event loop would take the handlers of signals away first
		process.exit(await run(options));
	});

program
	.command('reload')
	.description('have the running daemon read its configuration again, and say how that went')
	.option('--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)')
	.addHelpText(
		'after',
		exitCodes(
			'what the file says is in force',
			'the daemon refused it: the configuration before stays in force',
			'the configuration is wrong, and was not shown to the daemon',
			'no daemon could be asked, or the file cannot be read',
		),
	)
	.action(async (options: { config?: string }) => {
		const { reload } = await import('./cli/reload.ts');
		code = await reload({ ...options, env: process.env, write });
	});

program
	.command('detach')
	.description('detach what a stopped daemon has left attached, and forget its counters')
	.option('--config <file>', 'configuration, for bpf.pin (default: /etc/toascope/toascope.yaml)')
	.addHelpText(
		'after',
		exitCodes(
			'nothing of toascope is attached by the pins of bpf.pin, now or before',
			'a daemon runs, or the kernel refused it',
			undefined,
			'this user may not, or the pins cannot be written',
		),
	)
	.action(async (options: { config?: string }) => {
		const { detach } = await import('./cli/detach.ts');
		code = detach({ ...options, env: process.env, write });
	});

program
	.command('demo')
	.description('show it at work in a lab of three network namespaces on this machine')
	.option('--once', 'make the connections, check them, and end')
	.option('--clients <n>', 'distinct clients', positive, 50)
	.option('--connections <n>', 'connections in all (with --once; default: 500)', positive)
	.option('--json', 'print one JSON object at the end (with --once)')
	.option('--listen <address>', 'where /metrics is served', '127.0.0.1:10646')
	.option('--backend <port>', 'send the clients to a server of your own on 127.0.0.1, by HTTP', positive)
	.addHelpText(
		'after',
		exitCodes(
			'every connection had its real client',
			'one had not, or the lab failed',
			'wrong usage',
			'this host cannot',
		),
	)
	.action(async (options: DemoFlags) => {
		const { demo } = await import('./cli/demo.ts');
		code = await demo(options);
	});

program
	.command('lookup')
	.description('who is behind a peer, as the running daemon knows it')
	.argument('<ADDR:PORT>', 'address and port of the balancer, as the server sees them; IPv6 in brackets')
	.option(
		'--at <time>',
		"only connections that were open then: 12:00:05, 2026-01-31 12:00:05, RFC 3339, a web server's 31/Jan/2026:12:00:05 +0000, or Unix seconds",
	)
	.option('--local <ADDR:PORT>', 'only connections to this address and port of the server')
	.option('--json', 'print the answer as JSON')
	.option('--socket <path>', "the daemon's Unix socket (default: http.socket of the configuration)")
	.option('--url <url>', 'ask over HTTP instead, such as http://127.0.0.1:10646')
	.option('--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)')
	.addHelpText(
		'after',
		exitCodes(
			'a connection is known',
			'none is known',
			undefined,
			'no daemon could be asked: none answers, or this user may not ask it',
		),
	)
	.action(async (target: string, options: LookupFlags) => {
		const { lookup, placeToAsk } = await import('./cli/lookup.ts');
		const { at, local, json } = options;
		code = await lookup(target, { daemon: placeToAsk(options, process.env), at, local, json: json === true });
	});

program
	.command('doctor')
	.description('what this host can do, what works, whether TOA arrives, and why the rest does not')
	.option('--json', 'print the findings as JSON')
	.option('--config <file>', 'configuration (default: that of the running daemon, else /etc/toascope/toascope.yaml)')
	.addHelpText(
		'after',
		exitCodes(
			'it runs, or can run here',
			'the doctor itself failed',
			'the configuration is wrong',
			'it cannot run here',
		),
	)
	.action(async (options: { json?: true; config?: string }) => {
		const { doctor } = await import('./cli/doctor.ts');
		code = await doctor(options);
	});

const module = program.command('module').description('build, load and install the kernel module toa.ko');
const moduleCommands = () => import('./cli/module.ts');
const configOption = ['--config <file>', 'configuration (default: /etc/toascope/toascope.yaml)'] as const;

module
	.command('build')
	.description('build it for the running kernel, below /var/lib/toascope/module')
	.argument('[release]', 'another kernel, as uname -r says it, whose headers are installed')
	.addHelpText('after', exitCodes('it is built', 'the build failed', undefined, 'headers or tools are missing'))
	.action(async (release: string | undefined) => {
		code = await (await moduleCommands()).build(release, write);
	});

module
	.command('load')
	.description("load it with the configuration's profiles and networks, built where it is not, and see it at work")
	.argument('[file]', 'this toa.ko instead of the one for the running kernel')
	.option(...configOption)
	.addHelpText('after', exitCodes('it is loaded, and works', 'it was not loaded', undefined, 'this host takes none'))
	.action(async (file: string | undefined, options: { config?: string }) => {
		code = await (await moduleCommands()).load(file, options, write);
	});

module
	.command('unload')
	.description('unload it, and before that what a stopped daemon has left on it')
	.option(...configOption)
	.addHelpText('after', exitCodes('it is not loaded any more', 'it is in use', undefined, 'it is not of toascope'))
	.action(async (options: { config?: string }) => {
		code = (await moduleCommands()).unload(options, write);
	});

module
	.command('status')
	.description('whose is loaded, what is built and installed, and what building and loading would take')
	.option('--json', 'print it as JSON')
	.addHelpText('after', exitCodes('the toa.ko of this version is loaded', 'none is, or another one'))
	.action(async (options: { json?: true }) => {
		code = await (await moduleCommands()).status(options, write);
	});

module
	.command('install')
	.description("have DKMS build it for this kernel and each to come, loaded at boot with the configuration's networks")
	.option(...configOption)
	.addHelpText('after', exitCodes('it is installed', 'dkms failed', undefined, 'dkms, headers or tools are missing'))
	.action(async (options: { config?: string }) => {
		code = await (await moduleCommands()).install(options, write);
	});

program
	.command('config')
	.description('work with configuration files')
	.command('check')
	.description('say what is wrong with a file, or what it changes from the defaults')
	.argument('<file>')
	.option('--json', 'print the result as JSON')
	.addHelpText(
		'after',
		exitCodes('it can be used', 'the check itself failed', 'it is wrong', 'it is missing or cannot be read'),
	)
	.action((file: string, options: { json?: true }) => {
		code = configCheck(file, { json: options.json === true, write: (text) => void process.stdout.write(text) });
	});

function positive(text: string): number {
	const number = Number(text);
	if (Number.isSafeInteger(number) && number > 0) return number;
	throw new InvalidArgumentError('It must be a whole number above 0.');
}

/** The words of the command line that commander could not take: `toascope config check`. */
let refusedBy = '';

/** Wrong usage is told as every other failure is, so commander does not tell of it itself. */
function silence(command: Command, words: string): void {
	command.configureOutput({ outputError: () => (refusedBy = words) });
	for (const inner of command.commands) silence(inner, `${words} ${inner.name()}`);
}
silence(program, 'toascope');

/** `error: unknown command 'runn'`, and often `(Did you mean run?)` below it. */
function usageError({ message }: CommanderError): ToascopeError {
	const [what = '', meant] = message.replace(/^error: /, '').split('\n');
	const more = `${refusedBy} --help tells more`;
	const hint = meant === undefined ? more : `${meant.slice(1, -1).replace('Did', 'did')} ${more}`;
	return new ToascopeError('USAGE', what.replace(/\.$/, ''), { hint });
}

/** A reader that stands still must not keep a command that failed from ending. */
const complaints = new LogDestination({ onReaderBack() {} });
const complaintsMs = 1000;

function report(error: unknown): number {
	if (error instanceof CommanderError) {
		if (error.exitCode === 0) return exitCode.done;
		// the help has been shown in its place
		if (error.code.startsWith('commander.help')) return exitCode.usage;
		return report(usageError(error));
	}
	if (!(error instanceof ToascopeError)) {
		complaints.write(`toascope: ${error instanceof Error ? error.stack : String(error)}\n`);
		return exitCode.failed;
	}
	complaints.write(`toascope: ${asTyped(error.message)} [${error.code}]\n`);
	if (error.hint !== undefined) complaints.write(`  ${asTyped(error.hint)}\n`);
	if (error.detail !== undefined) complaints.write(`${error.detail.replaceAll(/^/gm, '  | ')}\n`);
	return error.exitCode;
}

// The reader may go away (`head`, `true`): what was not read is lost, and the exit code is still the command's own.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
	if (error.code === 'EPIPE') return;
	process.stderr.write(`toascope: standard output: ${error.message}\n`);
	process.exit(exitCode.failed);
});

try {
	await program.parseAsync();
} catch (error) {
	code = report(error);
	await complaints.flush(complaintsMs);
}
process.exitCode = code;
