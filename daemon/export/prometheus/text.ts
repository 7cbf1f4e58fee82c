// SPDX-License-Identifier: Apache-2.0
/**
 * The parts of the two text formats that need care: escaping, exact numbers, the head of a family.
 * Sample lines are the same bytes in both, so a series keeps its identity in either format.
 */
import type { Exemplar } from '../../model/snapshot.ts';

/** A chunk of the response is complete when it exceeds this many bytes or characters. */
export const chunkLength = 240 * 1024;

export type Format = 'prometheus' | 'openmetrics';

export interface FamilyHead {
	/** As in the Prometheus text format: counters end in `_total`. */
	readonly name: string;
	readonly type: string;
	readonly help: string;
	readonly unit?: string | undefined;
}

/**
 * The `# HELP` and `# TYPE` lines. OpenMetrics also has `# UNIT`, and the family name of its
 * counters has no `_total`.
 */
export function formatHead(head: FamilyHead, format: Format): string {
	if (format === 'prometheus') {
		return `# HELP ${head.name} ${escapeHelp(head.help)}\n# TYPE ${head.name} ${head.type}\n`;
	}
	const name = head.type === 'counter' ? head.name.replace(/_total$/, '') : head.name;
	const unit = head.unit === undefined ? '' : `# UNIT ${name} ${head.unit}\n`;
	return `# TYPE ${name} ${head.type}\n${unit}# HELP ${name} ${escapeLabelValue(head.help)}\n`;
}

/** Name of the sample with the creation time of a series: OpenMetrics 1.0, `_created`. */
export function createdName(name: string): string {
	return `${name.replace(/_total$/, '')}_created`;
}

function escapeHelp(text: string): string {
	return text.replaceAll('\\', '\\\\').replaceAll('\n', '\\n');
}

/** Escapes backslash, line feed and double quote. */
export function escapeLabelValue(text: string): string {
	return /[\\\n"]/.test(text) ? escapeHelp(text).replaceAll('"', '\\"') : text;
}

/**
 * `{name="value",...}`, or an empty string without labels. A numeric `le` is written as OpenMetrics
 * requires.
 */
export function formatLabels(labels: Readonly<Record<string, string | number | undefined>>): string {
	let text = '';
	for (const [name, value] of Object.entries(labels)) {
		if (value === undefined) continue;
		const written = typeof value === 'string' ? escapeLabelValue(value) : formatBound(value);
		text += `${text === '' ? '{' : ','}${name}="${written}"`;
	}
	return text === '' ? '' : `${text}}`;
}

/**
 * An exemplar as the end of a sample line of OpenMetrics; an empty string without one. Its label
 * names and values have 64 characters, of at most 128.
 */
export function formatExemplar(exemplar: Exemplar | undefined): string {
	if (exemplar === undefined) return '';
	const { traceId, spanId, valueNs, timeNs } = exemplar;
	return ` # {trace_id="${traceId}",span_id="${spanId}"} ${formatSeconds(valueNs)} ${formatSeconds(timeNs)}`;
}

/** A sample's value with every digit. */
export function formatValue(value: number | bigint | string): string {
	if (typeof value !== 'number' || Number.isFinite(value)) return String(value);
	if (Number.isNaN(value)) return 'NaN';
	return value < 0 ? '-Inf' : '+Inf';
}

/**
 * A bound as the canonical number of OpenMetrics, which is Go's `%g` with `.0` after an integer:
 * `6.25e-05`, `0.001`, `1.0`, `1e+06`, `+Inf`.
 */
export function formatBound(value: number): string {
	if (!Number.isFinite(value)) return formatValue(value);
	if (value === 0) return '0.0';
	const [mantissa = '', power = '0'] = value.toExponential().split('e');
	const exponent = Number(power);
	if (exponent < -4 || exponent >= 6) {
		const digits = String(Math.abs(exponent)).padStart(2, '0');
		return `${mantissa}e${exponent < 0 ? '-' : '+'}${digits}`;
	}
	// between 1e-4 and 1e6 JavaScript uses no exponent either
	return Number.isInteger(value) ? `${value}.0` : String(value);
}

const exactMax = BigInt(Number.MAX_SAFE_INTEGER);

/**
 * An integer with every digit. Most are below 2^53, where Number is several times faster than
 * BigInt.
 */
export function formatInteger(value: bigint): string {
	return value <= exactMax && value >= 0n ? String(Number(value)) : value.toString();
}

/** Nanoseconds as seconds: an exact decimal, no float in between. */
export function formatSeconds(ns: bigint): string {
	if (ns < 0n) return `-${formatSeconds(-ns)}`;
	if (ns <= exactMax) {
		const small = Number(ns);
		const rest = small % 1e9;
		return joinDecimal(String((small - rest) / 1e9), rest);
	}
	return joinDecimal((ns / 1_000_000_000n).toString(), Number(ns % 1_000_000_000n));
}

function joinDecimal(seconds: string, restNs: number): string {
	if (restNs === 0) return seconds;
	const fraction = String(restNs).padStart(9, '0');
	let end = 9;
	while (fraction.charCodeAt(end - 1) === 48) end--;
	return `${seconds}.${fraction.slice(0, end)}`;
}
