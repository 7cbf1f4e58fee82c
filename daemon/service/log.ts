// SPDX-License-Identifier: Apache-2.0
/** The log: JSON lines for machines, readable lines on a terminal; always on standard error. */
import { fstatSync } from 'node:fs';
import { createRequire } from 'node:module';
import { type DestinationStream, type Logger, type LoggerOptions, pino } from 'pino';
import type { PinoPretty } from 'pino-pretty';
import type { Config } from '../config/config.ts';
import { isSystemError, ToascopeError } from '../errors.ts';
import { asInvoked } from '../invocation.ts';
import { logLine } from '../log_line.ts';
import { logLines } from '../log_lines.ts';
import { noColour } from '../terminal.ts';
import { LogDestination } from './log_destination.ts';

export interface Log {
	readonly logger: Logger;
	/** Lines dropped so far because standard error did not accept them. */
	readonly linesDropped: () => number;
	/** Waits until all lines are written, at most this long. */
	readonly flush: (timeoutMs: number) => Promise<void>;
}

export function createLog(config: Config['log']): Log {
	const pretty = config.format === 'pretty' || (config.format === 'auto' && process.stderr.isTTY === true);
	const options: LoggerOptions = { level: config.level, serializers: { err: serializeError } };
	if (!pretty) {
		// for machines, but readable for people: the level as a word, the time as RFC 3339
		options.formatters = { level: (label: string) => ({ level: label }) };
		options.timestamp = pino.stdTimeFunctions.isoTime;
	}
	const destination = new LogDestination({
		onResumed: (dropped) => logLine(logger, logLines.linesLost, { lost: dropped }),
	});
	const format = pretty ? readable() : messageFirst;
	const prefix = goesToJournal() ? journalPrefix : (text: string) => text;
	const stream: DestinationStream & Metadata = {
		[Symbol.for('pino.metadata')]: true,
		write(line: string) {
			const { lastLevel = 30, lastMsg } = stream;
			destination.write(prefix(format(line, lastMsg), lastLevel));
		},
	};
	const logger = pino(options, stream);
	return {
		logger,
		linesDropped: () => destination.dropped,
		flush: (timeoutMs) => destination.flush(timeoutMs),
	};
}

/** Only the logger, for callers that do not wait for the last lines. */
export function createLogger(config: Config['log']): Logger {
	return createLog(config).logger;
}

/** What pino sets on a stream before each line, if the stream asks for it. */
interface Metadata {
	readonly [asked: symbol]: boolean;
	lastLevel?: number;
	lastMsg?: string;
}

/** Loads pino-pretty only when it is needed: for people at a terminal. */
function readable(): (line: string) => string {
	const { prettyFactory } = createRequire(import.meta.url)('pino-pretty') as typeof PinoPretty;
	const colorize = process.stderr.isTTY === true && !noColour(process.env);
	return prettyFactory({ ignore: 'pid,hostname', translateTime: 'SYS:HH:MM:ss.l', singleLine: true, colorize });
}

/**
 * Moves the message to just after the time, where viewers that cut lines still show it: pino writes
 * it last.
 */
function messageFirst(line: string, message: string | undefined): string {
	if (typeof message !== 'string') return line;
	const last = `,"msg":${JSON.stringify(message)}`;
	const time = line.indexOf('Z"', line.indexOf('"time":"')) + 2;
	if (time < 2 || !line.endsWith(`${last}}\n`)) return line;
	return `${line.slice(0, time)}${last}${line.slice(time, -last.length - 2)}}\n`;
}

/**
 * Whether standard error is the journal, and not a file that was given to this process instead
 * (JOURNAL_STREAM, systemd.exec(5)).
 */
function goesToJournal(): boolean {
	const stream = process.env['JOURNAL_STREAM'];
	if (stream === undefined) return false;
	try {
		const { dev, ino } = fstatSync(2, { bigint: true });
		return stream === `${dev}:${ino}`;
	} catch {
		return false;
	}
}

/** Puts the priority of syslog(3) before each line, as sd-daemon(3) defines. */
function journalPrefix(text: string, level: number): string {
	const priority = level >= 60 ? 2 : level >= 50 ? 3 : level >= 40 ? 4 : level >= 30 ? 6 : 7;
	return text.replaceAll(/^(?=.)/gm, `<${priority}>`);
}

/**
 * An expected failure is logged as its code, what is wrong and what to do; a system error as its
 * code and message. Any other error keeps its stack. Several problems become a list.
 */
function serializeError(error: unknown): unknown {
	if (isSystemError(error)) return { code: error.code, message: error.message };
	if (!(error instanceof ToascopeError)) return error instanceof Error ? pino.stdSerializers.err(error) : error;
	const { code, message, detail } = error;
	const hint = error.hint && asInvoked(error.hint);
	const problems = message.split('\n');
	if (problems.length === 1) return { code, message, hint, detail };
	return { code, message: `${problems.length} problems`, problems, hint, detail };
}
