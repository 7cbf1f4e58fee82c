// SPDX-License-Identifier: Apache-2.0
/** `toascope run`: the daemon in the foreground, until SIGTERM, SIGINT or SIGQUIT; SIGHUP reloads. */
import { resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { loadConfig, loadConfigAndFile } from '../config/load.ts';
import { codeOfError, exitCode } from '../errors.ts';
import { LogLimit, logLines, tell } from '../log_lines.ts';
import { ignoreSignals, routeWarnings } from '../process.ts';
import { createLog } from '../service/log.ts';
import { Service, type ServiceOptions } from '../service/service.ts';
import { Systemd } from '../service/systemd.ts';

/** What the end waits for a log whose reader stands still. */
const lastLinesMs = 300;

/** Resolves with a signal's name when it comes. The handlers stay: one that comes when all has ended is not to kill the process before it has said so. */
function signals(): { next(): Promise<NodeJS.Signals> } {
	const waiting: ((signal: NodeJS.Signals) => void)[] = [];
	const came: NodeJS.Signals[] = [];
	const take = (signal: NodeJS.Signals) => {
		const resolve = waiting.shift();
		if (resolve === undefined) came.push(signal);
		else resolve(signal);
	};
	for (const name of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const) process.on(name, take);
	return {
		next() {
			const signal = came.shift();
			return signal === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(signal);
		},
	};
}

/**
 * Runs until it is told to stop. Returns the exit code.
 * @throws {ToascopeError} what keeps it from starting
 */
export async function run(options: { readonly config?: string | undefined }): Promise<number> {
	const { config, file } = loadConfigAndFile({ path: options.config, env: process.env });
	// a file that was there must be there at a reload: without it the defaults would hold, an empty trust among them
	const read = () => loadConfig({ path: file, env: process.env });
	const log = createLog(config.log);
	const { logger } = log;
	// as if it had been killed: what is pinned goes on counting, and systemd starts it again
	process.on('uncaughtException', (err) => {
		tell(logger, logLines.crashed, { err });
		void log.flush(lastLinesMs).finally(() => process.exit(exitCode.failed));
	});
	try {
		return await runLogged(
			config,
			logger,
			{ configFile: file && resolve(file), retryHttp: true, logLinesLost: log.linesLost },
			read,
		);
	} finally {
		await log.flush(lastLinesMs);
	}
}

async function runLogged(config: Config, logger: Logger, options: ServiceOptions, read: () => Config): Promise<number> {
	const limit = new LogLimit(logger);
	ignoreSignals((signal) => limit.tell(`signal ${signal}`, logLines.signalIgnored, { signal }));
	routeWarnings((err) => limit.tell(`warning ${codeOfError(err)}`, logLines.nodeWarning, { err: plainWarning(err) }));
	const coming = signals();
	const systemd = new Systemd(logger);
	const service = await Service.start(config, logger, options);
	// a timer that may not keep the process alive runs everything: a signal must find it there
	const alive = setInterval(() => {}, 2 ** 31 - 1);
	try {
		// READY=1 waits for a collection that succeeded
		service.readiness.watch((reasons) => systemd.readiness(reasons));
		for (;;) {
			const signal = await coming.next();
			if (signal !== 'SIGHUP') {
				tell(logger, logLines.stopping, { signal });
				break;
			}
			systemd.reloading();
			service.reload(read);
			systemd.reloaded();
		}
		systemd.stopping();
	} finally {
		clearInterval(alive);
		const { kept, lost, recordsLost } = await service.stop();
		const said = { on_exit: config.onExit, records_lost: recordsLost };
		if (lost.length > 0) tell(logger, logLines.stoppedKeptInPart, { ...said, lost });
		else tell(logger, kept ? logLines.stoppedKept : logLines.stopped, said);
	}
	return exitCode.done;
}

/** Without its stack, which leads into Node.js. */
function plainWarning({ name, message, ...rest }: Error & { readonly code?: string }): object {
	return { name, message, ...(rest.code !== undefined && { code: rest.code }) };
}
