// SPDX-License-Identifier: Apache-2.0
/** Numbers, labels and headers of the text formats, and the choice of format and encoding. */
import { describe, expect, it } from 'vitest';
import { negotiateFormat, negotiateGzip } from '../../../../daemon/export/prometheus/accept.ts';
import {
	formatBound,
	formatHead,
	formatInteger,
	formatLabels,
	formatSeconds,
	formatValue,
} from '../../../../daemon/export/prometheus/text.ts';

describe('numbers', () => {
	it.each([
		[0n, '0'],
		[9_007_199_254_740_991n, '9007199254740991'],
		[9_007_199_254_740_992n, '9007199254740992'],
		[9_007_199_254_740_993n, '9007199254740993'],
		[9_223_372_036_854_775_807n, '9223372036854775807'],
		[-1n, '-1'],
		[-9_007_199_254_740_993n, '-9007199254740993'],
	])('integer %d', (value, text) => {
		expect(formatInteger(value)).toBe(text);
	});

	it.each([
		[0n, '0'],
		[1n, '0.000000001'],
		[1500n, '0.0000015'],
		[999_999_999n, '0.999999999'],
		[1_000_000_000n, '1'],
		[12_000_000_050n, '12.00000005'],
		// floor(n / 1e9) of the float would give 9007199
		[9_007_198_999_999_999n, '9007198.999999999'],
		[9_007_199_254_740_991n, '9007199.254740991'],
		[9_007_199_254_740_993n, '9007199.254740993'],
		[9_223_372_036_854_775_807n, '9223372036.854775807'],
		[9_223_372_036_000_000_000n, '9223372036'],
		[-1_500_000_000n, '-1.5'],
	])('%d ns in seconds', (ns, text) => {
		expect(formatSeconds(ns)).toBe(text);
	});

	it.each([
		[62_500 / 1e9, '6.25e-05'],
		[0.0001, '0.0001'],
		[0.000125, '0.000125'],
		[1e-9, '1e-09'],
		[0, '0.0'],
		[1, '1.0'],
		[4.096, '4.096'],
		[262.144, '262.144'],
		[100_000, '100000.0'],
		[1_000_000, '1e+06'],
		[2_097_152, '2.097152e+06'],
		[Number.POSITIVE_INFINITY, '+Inf'],
	])('bound %d', (value, text) => {
		expect(formatBound(value)).toBe(text);
	});

	it.each([
		[1.5, '1.5'],
		[18_446_744_073_709_551_615n, '18446744073709551615'],
		['1.000000001', '1.000000001'],
		[Number.NaN, 'NaN'],
		[Number.POSITIVE_INFINITY, '+Inf'],
		[Number.NEGATIVE_INFINITY, '-Inf'],
	])('value %s', (value, text) => {
		expect(formatValue(value)).toBe(text);
	});
});

describe('labels', () => {
	it.each([
		[{}, ''],
		[{ a: 'b' }, '{a="b"}'],
		[{ a: '', le: 1 }, '{a="",le="1.0"}'],
		[{ a: 'one "two" \\three\nfour' }, '{a="one \\"two\\" \\\\three\\nfour"}'],
		[{ a: '[2001:db8::1]:80' }, '{a="[2001:db8::1]:80"}'],
	])('%o', (labels, text) => {
		expect(formatLabels(labels)).toBe(text);
	});
});

describe('family headers', () => {
	const counter = { name: 'a_bytes_total', type: 'counter', help: 'a "b" \\ c\nd', unit: 'bytes' };

	it('in the Prometheus text format', () => {
		const text = '# HELP a_bytes_total a "b" \\\\ c\\nd\n# TYPE a_bytes_total counter\n';
		expect(formatHead(counter, 'prometheus')).toBe(text);
	});

	it('in OpenMetrics: the family without _total, the unit, the quotes escaped', () => {
		const text = '# TYPE a_bytes counter\n# UNIT a_bytes bytes\n# HELP a_bytes a \\"b\\" \\\\ c\\nd\n';
		expect(formatHead(counter, 'openmetrics')).toBe(text);
	});
});

describe('the Accept header', () => {
	it.each([
		[undefined, 'prometheus'],
		['*/*', 'prometheus'],
		['text/plain', 'prometheus'],
		['text/html,application/xhtml+xml,*/*;q=0.8', 'prometheus'],
		['application/openmetrics-text', 'openmetrics'],
		['Application/OpenMetrics-Text; Version=1.0.0', 'openmetrics'],
		['application/openmetrics-text;version=0.0.1', 'prometheus'],
		['application/openmetrics-text;q=0', 'prometheus'],
		['application/openmetrics-text;q=0.4,text/plain;q=0.5', 'prometheus'],
		['application/openmetrics-text;q=x,text/plain;q=0.5', 'prometheus'],
		['application/json', 'prometheus'],
		// as Prometheus 2.42 and 3 send it
		[
			'application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
			'openmetrics',
		],
		[
			'application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2',
			'openmetrics',
		],
	])('%s', (accept, format) => {
		expect(negotiateFormat(accept)).toBe(format);
	});
});

describe('the Accept-Encoding header', () => {
	it.each([
		[undefined, false],
		['', false],
		['gzip', true],
		['GZIP;q=0.5', true],
		['x-gzip', true],
		['deflate, gzip;q=1.0, *;q=0.5', true],
		['*', true],
		['gzip;q=0', false],
		['*, gzip;q=0', false],
		['*;q=0', false],
		['identity, gzip;q=0.5', false],
		['identity;q=0.5, gzip;q=0.5', true],
		['identity;q=0, gzip', true],
		['br', false],
		['gzip;q=x', false],
	])('%s', (acceptEncoding, gzip) => {
		expect(negotiateGzip(acceptEncoding)).toBe(gzip);
	});
});
