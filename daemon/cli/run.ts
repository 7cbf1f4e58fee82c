// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope run`: the daemon in the foreground, until SIGTERM, SIGINT or SIGQUIT; SIGHUP reloads.
 */
import { resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import { loadConfig, loadConfigAndFile } from '../config/load.ts';
import { codeOfError, exitCode } from '../errors.ts';
import { LogLimit, logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { ignoreSignals, routeWarnings } from '../process.ts';
import { createLog } from '../service/log.ts';
import { Service, type ServiceOptions } from '../service/service.ts';
import { Systemd } from '../service/systemd.ts';

/** How long an exit waits for a stalled reader of the log. */
const lastLinesMs = 300;

/**
 * `next` resolves with the name of the next signal. The handlers stay: a signal that arrives when
 * everything has ended must not kill the process before the outcome is logged.
 */
function signals(): { next(): Promise<NodeJS.Signals> } {
	const waiting: ((signal: NodeJS.Signals) => void)[] = [];
	const received: NodeJS.Signals[] = [];
	const onSignal = (signal: NodeJS.Signals) => {
		const resolve = waiting.shift();
		if (resolve === undefined) received.push(signal);
		else resolve(signal);
	};
	for (const name of ['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP'] as const) process.on(name, onSignal);
	return {
		next() {
			const signal = received.shift();
			return signal === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(signal);
		},
	};
}

/**
 * Runs until a signal stops it. Returns the exit code.
 * @throws {ToascopeError} what prevents the start
 */
export async function run(options: { readonly config?: string | undefined }): Promise<number> {
	const { config, file } = loadConfigAndFile({ path: options.config, env: process.env });
	// a file that was there must still exist at a reload: without it the defaults would apply, an
	// empty trust among them
	const read = () => loadConfig({ path: file, env: process.env });
	const log = createLog(config.log);
	const { logger } = log;
	// exits as if it had been killed: what is pinned continues to count, and systemd starts the
	// daemon again
	process.on('uncaughtException', (err) => {
		logLine(logger, logLines.crashed, { err });
		void log.flush(lastLinesMs).finally(() => process.exit(exitCode.failed));
	});
	try {
		return await runLogged(
			config,
			logger,
			{ configFile: file && resolve(file), retryHttp: true, logLinesDropped: log.linesDropped },
			read,
		);
	} finally {
		await log.flush(lastLinesMs);
	}
}

async function runLogged(config: Config, logger: Logger, options: ServiceOptions, read: () => Config): Promise<number> {
	const limit = new LogLimit(logger);
	ignoreSignals((signal) => limit.log(`signal ${signal}`, logLines.signalIgnored, { signal }));
	routeWarnings((err) => limit.log(`warning ${codeOfError(err)}`, logLines.nodeWarning, { err: plainWarning(err) }));
	const incoming = signals();
	const systemd = new Systemd(logger);
	const service = await Service.start(config, logger, options);
	// the daemon runs on timers that do not keep the process alive: this one does, until a signal
	// arrives
	const keepAlive = setInterval(() => {}, 2 ** 31 - 1);
	try {
		// READY=1 is sent when a collection has succeeded
		service.readiness.watch((reasons) => systemd.readiness(reasons));
		for (;;) {
			const signal = await incoming.next();
			if (signal !== 'SIGHUP') {
				logLine(logger, logLines.stopping, { signal });
				break;
			}
			systemd.reloading();
			service.reload(read);
			systemd.reloaded();
		}
		systemd.stopping();
	} finally {
		clearInterval(keepAlive);
		const { kept, notKept, recordsDropped } = await service.stop();
		const outcome = { on_exit: config.onExit, records_dropped: recordsDropped };
		if (notKept.length > 0) logLine(logger, logLines.stoppedPartlyKept, { ...outcome, not_kept: notKept });
		else logLine(logger, kept ? logLines.stoppedKept : logLines.stopped, outcome);
	}
	return exitCode.done;
}

/** The warning without its stack, which is that of Node.js. */
function plainWarning({ name, message, ...rest }: Error & { readonly code?: string }): object {
	return { name, message, ...(rest.code !== undefined && { code: rest.code }) };
}
