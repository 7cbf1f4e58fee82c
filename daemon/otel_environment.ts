// SPDX-License-Identifier: Apache-2.0
/**
 * The OTEL_* variables that decide what toascope sends, read in one place as the OpenTelemetry specification has them: an empty
 * variable is one that is not set, words are read whatever their case, and a word that is not known is said and left aside. What
 * the SDK itself goes by (headers, timeouts, certificates, batches, the sampler) it reads itself.
 */

export const otlpProtocols = ['grpc', 'http/protobuf', 'http/json'] as const;
export type OtlpProtocol = (typeof otlpProtocols)[number];

/** A variable that could not be used as it is. */
export interface OtelProblem {
	readonly variable: string;
	readonly value: string;
	/** What may stand there, and what holds instead. */
	readonly message: string;
}

export interface OtelEnvironment {
	/** Why no span is to be made, as `VARIABLE=value`; undefined: spans may be sent. */
	readonly spansOff: string | undefined;
	/** Undefined: no variable names one. */
	readonly protocol: OtlpProtocol | undefined;
	/** Where traces go: the variable and what it holds; undefined: no variable says. */
	readonly endpoint: { readonly variable: string; readonly value: string } | undefined;
	/** The sampler takes every connection. */
	readonly samplesAll: boolean;
	/** OTEL_BSP_MAX_QUEUE_SIZE: spans that may wait. */
	readonly maxQueue: number;
	/** The environment chooses the resource detectors. */
	readonly choosesDetectors: boolean;
	/** OTEL_LOG_LEVEL. */
	readonly logLevel: string | undefined;
	readonly problems: readonly OtelProblem[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** As the specification has it. */
const defaultQueue = 2048;

/** Reads them all. Never throws. */
export function readOtelEnvironment(env: Environment): OtelEnvironment {
	const problems: OtelProblem[] = [];
	/** The first of these variables that is set. */
	const read = (...names: string[]) => {
		for (const variable of names) {
			const value = env[variable]?.trim();
			if (value !== undefined && value !== '') return { variable, value };
		}
		return undefined;
	};
	const refuse = ({ variable, value }: { variable: string; value: string }, message: string) =>
		problems.push({ variable, value: value.slice(0, 64), message });

	const disabled = read('OTEL_SDK_DISABLED');
	if (disabled !== undefined && !/^(true|false)$/i.test(disabled.value)) {
		refuse(disabled, 'must be true or false: spans are not disabled by it');
	}
	const sampler = read('OTEL_TRACES_SAMPLER')?.value.toLowerCase() ?? 'parentbased_always_on';
	return {
		spansOff: offBy(disabled, read('OTEL_TRACES_EXPORTER'), sampler, refuse),
		protocol: protocolOf(read('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'), refuse),
		endpoint: read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'),
		samplesAll: /^(parentbased_)?always_on$/.test(sampler),
		maxQueue: queueOf(read('OTEL_BSP_MAX_QUEUE_SIZE'), refuse),
		choosesDetectors: read('OTEL_NODE_RESOURCE_DETECTORS') !== undefined,
		logLevel: read('OTEL_LOG_LEVEL')?.value,
		problems,
	};
}

interface Variable {
	readonly variable: string;
	readonly value: string;
}
type Refuse = (variable: Variable, message: string) => void;

function offBy(
	disabled: Variable | undefined,
	exporters: Variable | undefined,
	sampler: string,
	refuse: Refuse,
): string | undefined {
	const shown = ({ variable, value }: Variable) => `${variable}=${value.slice(0, 64)}`;
	if (disabled !== undefined && disabled.value.toLowerCase() === 'true') return shown(disabled);
	if (/^(parentbased_)?always_off$/.test(sampler)) return `OTEL_TRACES_SAMPLER=${sampler}`;
	if (exporters === undefined) return undefined;
	const names = exporters.value.split(',').map((name) => name.trim().toLowerCase());
	const others = names.filter((name) => name !== 'otlp' && name !== 'none' && name !== '');
	const sends = names.includes('otlp');
	if (others.length > 0) {
		refuse(
			exporters,
			`must be otlp or none: toascope has no exporter ${others.join(', ')}${sends ? '' : ', no span is sent'}`,
		);
	}
	return sends ? undefined : shown(exporters);
}

function protocolOf(variable: Variable | undefined, refuse: Refuse): OtlpProtocol | undefined {
	if (variable === undefined) return undefined;
	const known = otlpProtocols.find((protocol) => protocol === variable.value.toLowerCase());
	if (known === undefined) refuse(variable, `must be ${otlpProtocols.join(', ')}: http/protobuf holds`);
	return known;
}

function queueOf(variable: Variable | undefined, refuse: Refuse): number {
	if (variable === undefined) return defaultQueue;
	const number = Number(variable.value);
	if (Number.isSafeInteger(number) && number > 0) return number;
	refuse(variable, `must be a whole number above 0: ${defaultQueue} holds`);
	return defaultQueue;
}
