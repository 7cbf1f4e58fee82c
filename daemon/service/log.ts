// SPDX-License-Identifier: Apache-2.0
/** The log: JSON lines for machines, readable lines on a terminal; always on standard error. */
import { createRequire } from 'node:module';
import { type DestinationStream, type Logger, pino } from 'pino';
import type { PinoPretty } from 'pino-pretty';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { asTyped } from '../invocation.ts';

export function createLogger(config: Config['log']): Logger {
	const pretty = config.format === 'pretty' || (config.format === 'auto' && process.stderr.isTTY === true);
	const options = { level: config.level, serializers: { err: serializeError } };
	if (pretty) return pino(options, readable(standardError()));
	// for machines, and yet to be read by people: the level as a word, the time as RFC 3339
	const words = {
		formatters: { level: (label: string) => ({ level: label }) },
		timestamp: pino.stdTimeFunctions.isoTime,
	};
	return pino({ ...options, ...words }, standardError());
}

/** The package is loaded when it is needed: for people at a terminal. */
function readable(to: DestinationStream): DestinationStream {
	const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof PinoPretty;
	const format = prettyFactory({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
	return { write: (line) => to.write(format(line)) };
}

/** Lines that it refuses are lost: a disk that is full must not end the daemon. */
function standardError(): DestinationStream {
	// one that has failed keeps its lines, and those after them, for ever
	const open = () => pino.destination({ dest: 2, sync: true }).on('error', fail);
	let cut = false;
	const fail = () => {
		cut = true;
		lines = open();
	};
	let lines = open();
	return {
		write(line) {
			const text = cut ? `\n${line}` : line;
			cut = false;
			lines.write(text);
		},
	};
}

/** An expected failure is its code, what is wrong and what to do; anything else keeps its stack. */
function serializeError(error: unknown): unknown {
	if (!(error instanceof ToascopeError)) return error instanceof Error ? pino.stdSerializers.err(error) : error;
	const { code, message, hint, detail } = error;
	return { code, message, hint: hint && asTyped(hint), detail };
}
