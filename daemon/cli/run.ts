// SPDX-License-Identifier: Apache-2.0
/** `toascope run`: the daemon in the foreground, until SIGTERM or SIGINT; SIGHUP reloads. */
import { resolve } from 'node:path';
import { loadConfig, loadConfigAndFile } from '../config/load.ts';
import { exitCode } from '../errors.ts';
import { logLines, tell } from '../log_lines.ts';
import { createLogger } from '../service/log.ts';
import { Service } from '../service/service.ts';
import { tellSystemd } from '../service/systemd.ts';

/** Resolves with a signal's name when it comes. The handlers stay: one that comes when all has ended is not to kill the process before it has said so. */
function signals(): { next(): Promise<NodeJS.Signals> } {
	const waiting: ((signal: NodeJS.Signals) => void)[] = [];
	const came: NodeJS.Signals[] = [];
	const take = (signal: NodeJS.Signals) => {
		const resolve = waiting.shift();
		if (resolve === undefined) came.push(signal);
		else resolve(signal);
	};
	for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.on(name, take);
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
	const logger = createLogger(config.log);
	const coming = signals();
	const service = await Service.start(config, logger, { configFile: file && resolve(file), retryHttp: true });
	// a timer that may not keep the process alive runs everything: a signal must find it there
	const alive = setInterval(() => {}, 2 ** 31 - 1);
	try {
		tellSystemd('READY=1', logger);
		for (;;) {
			const signal = await coming.next();
			if (signal !== 'SIGHUP') {
				tell(logger, logLines.stopping, { signal });
				break;
			}
			tellSystemd('RELOADING=1', logger);
			service.reload(read);
			tellSystemd('READY=1', logger);
		}
		tellSystemd('STOPPING=1', logger);
	} finally {
		clearInterval(alive);
		const { kept, recordsLost } = await service.stop();
		const said = { on_exit: config.onExit, records_lost: recordsLost };
		tell(logger, kept ? logLines.stoppedKept : logLines.stopped, said);
	}
	return exitCode.done;
}
