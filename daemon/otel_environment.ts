// SPDX-License-Identifier: Apache-2.0
/**
 * The OTEL_* variables that decide what toascope sends, read in one place by the rules of the
 * OpenTelemetry specification: an empty variable counts as not set, words are case-insensitive, and
 * an unknown word is reported and ignored. The SDK itself reads the variables that it uses
 * (headers, timeouts, certificates, batches, the sampler).
 */

const otlpProtocols = ['grpc', 'http/protobuf', 'http/json'] as const;
export type OtlpProtocol = (typeof otlpProtocols)[number];

/** A variable whose value cannot be used. */
interface OtelProblem {
	readonly variable: string;
	readonly value: string;
	/** Which values are allowed, and what is used instead. */
	readonly message: string;
}

export interface OtelEnvironment {
	/** The variable that disables spans, as `VARIABLE=value`; undefined: spans can be sent. */
	readonly spansOff: string | undefined;
	/** Undefined: no variable sets it. */
	readonly protocol: OtlpProtocol | undefined;
	/** The destination of traces: the variable and its value; undefined: no variable sets it. */
	readonly endpoint: { readonly variable: string; readonly value: string } | undefined;
	/** The sampler samples every connection. */
	readonly samplesAll: boolean;
	/** OTEL_BSP_MAX_QUEUE_SIZE: the most spans that can wait. */
	readonly maxQueue: number;
	/** OTEL_NODE_RESOURCE_DETECTORS is set: the environment chooses the resource detectors. */
	readonly setsDetectors: boolean;
	/** OTEL_LOG_LEVEL. */
	readonly logLevel: string | undefined;
	readonly problems: readonly OtelProblem[];
}

type Environment = Readonly<Record<string, string | undefined>>;

/** The default of the specification. */
const defaultQueue = 2048;

/** Reads all of these variables. Never throws. */
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
		refuse(disabled, 'must be true or false: spans are not disabled');
	}
	const sampler = read('OTEL_TRACES_SAMPLER')?.value.toLowerCase() ?? 'parentbased_always_on';
	return {
		spansOff: disabledBy(disabled, read('OTEL_TRACES_EXPORTER'), sampler, refuse),
		protocol: protocolOf(read('OTEL_EXPORTER_OTLP_TRACES_PROTOCOL', 'OTEL_EXPORTER_OTLP_PROTOCOL'), refuse),
		endpoint: read('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT', 'OTEL_EXPORTER_OTLP_ENDPOINT'),
		samplesAll: /^(parentbased_)?always_on$/.test(sampler),
		maxQueue: queueOf(read('OTEL_BSP_MAX_QUEUE_SIZE'), refuse),
		setsDetectors: read('OTEL_NODE_RESOURCE_DETECTORS') !== undefined,
		logLevel: read('OTEL_LOG_LEVEL')?.value,
		problems,
	};
}

interface Variable {
	readonly variable: string;
	readonly value: string;
}
type Refuse = (variable: Variable, message: string) => void;

function disabledBy(
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
			`must be otlp or none: toascope has no exporter ${others.join(', ')}${sends ? '' : '; no spans are sent'}`,
		);
	}
	return sends ? undefined : shown(exporters);
}

function protocolOf(variable: Variable | undefined, refuse: Refuse): OtlpProtocol | undefined {
	if (variable === undefined) return undefined;
	const known = otlpProtocols.find((protocol) => protocol === variable.value.toLowerCase());
	if (known === undefined) refuse(variable, `must be ${otlpProtocols.join(', ')}: using http/protobuf`);
	return known;
}

function queueOf(variable: Variable | undefined, refuse: Refuse): number {
	if (variable === undefined) return defaultQueue;
	const number = Number(variable.value);
	if (Number.isSafeInteger(number) && number > 0) return number;
	refuse(variable, `must be a whole number above 0: using ${defaultQueue}`);
	return defaultQueue;
}
