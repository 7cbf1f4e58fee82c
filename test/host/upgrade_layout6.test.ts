// SPDX-License-Identifier: Apache-2.0
/**
 * Pins that a version with layout 6 of the records left behind: all of its counters are migrated to
 * the current layout.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { findCgroup2, readMounts } from '../../daemon/host/mounts.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { clientTotals, expectIdentity, listenerTotals } from '../kit/daemon/expected_traffic.ts';
import { compileBpf } from '../kit/kernel/c_program.ts';
import { total } from '../kit/telemetry/metrics.ts';

const pin = `/sys/fs/bpf/toascope-test-${process.pid}`;
const programs = `${pin}-fill`;
const listener = '192.0.2.2:8080';
const client = '2001:db8:c::1';

afterEach(() => {
	for (const directory of [join(pin, 'v6/maps'), join(pin, 'v6/links'), join(pin, 'v6'), pin, programs]) {
		if (!existsSync(directory)) continue;
		for (const name of readdirSync(directory)) unlinkSync(join(directory, name));
		rmdirSync(directory);
	}
});

/**
 * The scope of its counters: a hash over the prefixes that define a client, and the path of the
 * cgroup.
 */
function scopeOf6(prefix4: number, prefix6: number): Buffer {
	const text = [prefix4, prefix6, findCgroup2(readMounts()) ?? ''].join('\n');
	const scope = Buffer.alloc(8);
	scope.writeBigUInt64LE(createHash('sha256').update(text).digest().readBigUInt64LE() | (1n << 63n));
	return scope;
}

function pinLayout6(scope: Buffer): void {
	for (const part of ['', 'v6', 'v6/links', 'v6/maps']) mkdirSync(join(pin, part), 0o700);
	const scratch = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	const bpftool = (...args: string[]) =>
		execFileSync('bpftool', args, { env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` } });
	try {
		// padded to at least the length of an Ethernet header
		writeFileSync(join(scratch, 'packet'), Buffer.concat([scope, Buffer.alloc(16)]));
		bpftool('prog', 'loadall', compileBpf('layout6'), programs, 'pinmaps', join(pin, 'v6/maps'));
		bpftool('prog', 'run', 'pinned', join(programs, 'fill'), 'data_in', join(scratch, 'packet'));
	} finally {
		rmSync(scratch, { recursive: true });
	}
}

test.each([
	['equal to those configured', 32, 128],
	['different from those configured', 24, 56],
])('counters with prefixes %s are migrated', async (_what, prefix4, prefix6) => {
	pinLayout6(scopeOf6(prefix4, prefix6));
	await using daemon = await Daemon.start({ config: `listeners: {ports: [1]}\nbpf: {pin: ${pin}}` });
	const line = await daemon.logged(/^counters of another layout are migrated/);
	expect(line).toMatchObject({ level: 30, layout: 'v6', open: 2 });
	expect(line).not.toHaveProperty('lost');
	const samples = await daemon.until((all) =>
		total(all, 'toascope_connections_opened_total', { listener }) === 11n ? all : undefined,
	);
	// what was open in the other layout counts as closed
	expect(listenerTotals(samples, listener)).toEqual({ opened: 11n, closed: 11n, received: 1010n, sent: 30_300n });
	const byClient = clientTotals(samples, listener);
	expect(byClient.get(client)).toEqual({ opened: 10n, closed: 10n, received: 1000n, sent: 30_000n });
	expect(byClient.get('direct')).toEqual({ opened: 1n, closed: 1n, received: 10n, sent: 300n });
	expectIdentity(samples, listener);
	const of = (name: string, labels: Readonly<Record<string, string>>) => total(samples, `toascope_${name}`, labels);
	expect(of('handshakes_total', { listener, result: 'toa' })).toBe(10n);
	expect(of('handshakes_total', { listener, result: 'none' })).toBe(1n);
	expect(of('options_total', { listener, segment: 'ack' })).toBe(10n);
	expect(of('accepts_total', { listener, seen: 'getpeername' })).toBe(11n);
	expect(of('connection_duration_seconds_count', { listener })).toBe(9n);
	expect(of('drops_total', { reason: 'close_unheard' })).toBe(7n);
	expect(of('clients_folded_total', {})).toBe(3n);
	expect(existsSync(join(pin, 'v6'))).toBe(false);
});

test('counters of another cgroup start from zero, and the log says so', async () => {
	pinLayout6(Buffer.from('0123456789abcdef', 'hex'));
	await using daemon = await Daemon.start({ config: `listeners: {ports: [1]}\nbpf: {pin: ${pin}}` });
	await daemon.logged(/belong to another cgroup path; counters start from zero/);
	expect(total(await daemon.metrics(), 'toascope_connections_opened_total', { listener })).toBe(0n);
});
