// SPDX-License-Identifier: Apache-2.0
/**
 * The OTEL_* variables that decide what toascope sends, read in one place by the rules of the
 * OpenTelemetry specification: an empty variable counts as not set, words are case-insensitive, and
 * an unknown word is reported. The OpenTelemetry packages read the variables that only they use
 * (headers, timeouts, certificates, compression, the resource).
 */

export type OtelSignal = 'metrics' | 'traces' | 'logs';

const otlpProtocols = ['grpc', 'http/protobuf', 'http/json'] as const;
export type OtlpProtocol = (typeof otlpProtocols)[number];

/** By the specification of the OTLP metric exporter. */
const temporalities = ['cumulative', 'delta', 'lowmemory'] as const;
export type TemporalityPreference = (typeof temporalities)[number];

interface Variable {
	readonly variable: string;
	readonly value: string;
}

/** A variable whose value cannot be used. */
interface OtelProblem extends Variable {
	/** Which values are allowed, and what is used instead. */
	readonly message: string;
}

export interface SignalEnvironment {
	/** The variable that disables the signal, as `VARIABLE=value`; undefined: it can be sent. */
	readonly off: string | undefined;
	/** Undefined: no variable sets it. */
	readonly protocol: OtlpProtocol | undefined;
	/** The variable with an unknown protocol: nothing can be sent. */
	readonly unknownProtocol: Variable | undefined;
	/** The destination: the variable and its value; undefined: no variable sets it. */
	readonly endpoint: Variable | undefined;
}

/** How items wait and are sent. */
export interface OtelBatches {
	/** The most items that can wait. */
	readonly maxQueue: number;
	/** The most items in a request. */
	readonly maxBatch: number;
	/** How long an item waits for further ones, in milliseconds. */
	readonly delayMs: number;
}

export interface OtelEnvironment {
	readonly signals: Readonly<Record<OtelSignal, SignalEnvironment>>;
	/** OTEL_CONFIG_FILE or its earlier name: with it, an SDK ignores all other variables. */
	readonly configFile: Variable | undefined;
	/** The part of the connections that the sampler samples, from 0 to 1. */
	readonly samplerRatio: number;
	/** OTEL_BSP_MAX_QUEUE_SIZE, OTEL_BSP_MAX_EXPORT_BATCH_SIZE and OTEL_BSP_SCHEDULE_DELAY. */
	readonly spanBatches: OtelBatches;
	/** OTEL_BLRP_MAX_QUEUE_SIZE, OTEL_BLRP_MAX_EXPORT_BATCH_SIZE and OTEL_BLRP_SCHEDULE_DELAY. */
	readonly logBatches: OtelBatches;
	/** OTEL_METRIC_EXPORT_INTERVAL, in milliseconds. */
	readonly metricIntervalMs: number;
	/** OTEL_METRIC_EXPORT_TIMEOUT, in milliseconds. */
	readonly metricTimeoutMs: number;
	/** OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE. */
	readonly temporality: TemporalityPreference;
	/** OTEL_NODE_RESOURCE_DETECTORS: names of resource detectors; undefined: the default ones. */
	readonly detectors: readonly string[] | undefined;
	/** OTEL_LOG_LEVEL. */
	readonly logLevel: string | undefined;
	readonly problems: readonly OtelProblem[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The defaults of the specification. */
const defaultBatch = 512;
const defaultSpanDelayMs = 5000;
const defaultLogDelayMs = 1000;
const defaultIntervalMs = 60_000;
const defaultTimeoutMs = 30_000;
/**
 * The specification has 2048. A host makes an item of each connection, so the queue must bridge a
 * pause of the receiver at that rate: 16384 are 16 s of 1000 a second, and some 15 MB.
 */
const defaultQueue = 16_384;
/** The longest delay of a timer of Node.js. */
const longestMs = 2 ** 31 - 1;

/** Reads all of these variables. Never throws. */
export function readOtelEnvironment(env: Environment): OtelEnvironment {
	const reader = new Reader(env);
	const disabled = reader.read('OTEL_SDK_DISABLED');
	if (disabled !== undefined && !/^(true|false)$/i.test(disabled.value)) {
		reader.refuse(disabled, 'must be true or false: nothing is disabled');
	}
	const sampler = readSampler(reader);
	const allOff = disabled?.value.toLowerCase() === 'true' ? shown(disabled) : undefined;
	return {
		signals: {
			metrics: readSignal(reader, 'metrics', allOff),
			traces: readSignal(reader, 'traces', allOff ?? sampler.off),
			logs: readSignal(reader, 'logs', allOff),
		},
		configFile: reader.read('OTEL_CONFIG_FILE', 'OTEL_EXPERIMENTAL_CONFIG_FILE'),
		samplerRatio: sampler.ratio,
		spanBatches: {
			maxQueue: reader.positive('OTEL_BSP_MAX_QUEUE_SIZE', defaultQueue),
			maxBatch: reader.positive('OTEL_BSP_MAX_EXPORT_BATCH_SIZE', defaultBatch),
			delayMs: reader.positive('OTEL_BSP_SCHEDULE_DELAY', defaultSpanDelayMs),
		},
		logBatches: {
			maxQueue: reader.positive('OTEL_BLRP_MAX_QUEUE_SIZE', defaultQueue),
			maxBatch: reader.positive('OTEL_BLRP_MAX_EXPORT_BATCH_SIZE', defaultBatch),
			delayMs: reader.positive('OTEL_BLRP_SCHEDULE_DELAY', defaultLogDelayMs),
		},
		metricIntervalMs: reader.positive('OTEL_METRIC_EXPORT_INTERVAL', defaultIntervalMs),
		metricTimeoutMs: reader.positive('OTEL_METRIC_EXPORT_TIMEOUT', defaultTimeoutMs),
		temporality: reader.word('OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE', temporalities, 'cumulative'),
		detectors: reader
			.read('OTEL_NODE_RESOURCE_DETECTORS')
			?.value.toLowerCase()
			.split(/\s*,\s*/),
		logLevel: reader.read('OTEL_LOG_LEVEL')?.value,
		problems: reader.problems,
	};
}

function readSignal(reader: Reader, signal: OtelSignal, off: string | undefined): SignalEnvironment {
	const name = signal.toUpperCase();
	const protocol = reader.read(`OTEL_EXPORTER_OTLP_${name}_PROTOCOL`, 'OTEL_EXPORTER_OTLP_PROTOCOL');
	const known = otlpProtocols.find((each) => each === protocol?.value.toLowerCase());
	return {
		off: disabledBy(reader, signal, reader.read(`OTEL_${name}_EXPORTER`)) ?? off,
		protocol: known,
		unknownProtocol: known === undefined ? protocol : undefined,
		endpoint: reader.read(`OTEL_EXPORTER_OTLP_${name}_ENDPOINT`, 'OTEL_EXPORTER_OTLP_ENDPOINT'),
	};
}

/**
 * What OTEL_TRACES_SAMPLER samples. The spans of connections have no parent, so `parentbased_` makes no
 * difference.
 */
function readSampler(reader: Reader): { readonly ratio: number; readonly off?: string } {
	const variable = reader.read('OTEL_TRACES_SAMPLER');
	if (variable === undefined) return { ratio: 1 };
	switch (variable.value.toLowerCase().replace(/^parentbased_/, '')) {
		case 'always_on':
			return { ratio: 1 };
		case 'always_off':
			return { ratio: 0, off: shown(variable) };
		case 'traceidratio':
			return { ratio: reader.ratio('OTEL_TRACES_SAMPLER_ARG') };
		default:
			reader.refuse(
				variable,
				'must be [parentbased_]always_on, always_off or traceidratio: every connection is sampled',
			);
			return { ratio: 1 };
	}
}

function disabledBy(reader: Reader, signal: OtelSignal, exporters: Variable | undefined): string | undefined {
	if (exporters === undefined) return undefined;
	const names = exporters.value.split(',').map((name) => name.trim().toLowerCase());
	const others = names.filter((name) => name !== 'otlp' && name !== 'none' && name !== '');
	const sends = names.includes('otlp');
	if (others.length > 0) {
		const effect = sends ? '' : `; no ${signal} are sent`;
		reader.refuse(exporters, `must be otlp or none: toascope has no exporter ${others.join(', ')}${effect}`);
	}
	return sends ? undefined : shown(exporters);
}

/** Why nothing can be sent with a protocol of this name. */
export function protocolError(name: string): string {
	return `must be ${otlpProtocols.join(', ')} (found: ${shortened(name)})`;
}

const shortened = (value: string) => value.slice(0, 64);
const shown = ({ variable, value }: Variable) => `${variable}=${shortened(value)}`;

class Reader {
	readonly #env: Environment;
	readonly problems: OtelProblem[] = [];

	constructor(env: Environment) {
		this.#env = env;
	}

	/** The first of these variables that is set. */
	read(...names: string[]): Variable | undefined {
		for (const variable of names) {
			const value = this.#env[variable]?.trim();
			if (value !== undefined && value !== '') return { variable, value };
		}
		return undefined;
	}

	refuse({ variable, value }: Variable, message: string): void {
		this.problems.push({ variable, value: shortened(value), message });
	}

	positive(name: string, otherwise: number): number {
		const variable = this.read(name);
		if (variable === undefined) return otherwise;
		const number = Number(variable.value);
		if (Number.isSafeInteger(number) && number > 0 && number <= longestMs) return number;
		this.refuse(variable, `must be a whole number from 1 to ${longestMs}: using ${otherwise}`);
		return otherwise;
	}

	/** From 0 to 1, by default 1. */
	ratio(name: string): number {
		const variable = this.read(name);
		if (variable === undefined) return 1;
		const number = Number(variable.value);
		if (number >= 0 && number <= 1) return number;
		this.refuse(variable, 'must be a number from 0 to 1: using 1');
		return 1;
	}

	word<Word extends string>(name: string, words: readonly Word[], otherwise: Word): Word {
		const variable = this.read(name);
		if (variable === undefined) return otherwise;
		const word = words.find((each) => each === variable.value.toLowerCase());
		if (word === undefined) this.refuse(variable, `must be ${words.join(', ')}: using ${otherwise}`);
		return word ?? otherwise;
	}
}
