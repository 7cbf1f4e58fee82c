// SPDX-License-Identifier: Apache-2.0
/** The published dist/: everything that it loads on demand is found. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { beforeAll, expect, test } from 'vitest';
import { version } from '../../daemon/version.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { unitEnvironment } from '../kit/daemon/unit_environment.ts';

const root = join(import.meta.dirname, '../..');
const program = join(root, 'dist/daemon/main.js');

beforeAll(() => {
	execFileSync(process.execPath, [join(root, 'scripts/bundle.ts')]);
});

test('runs in the environment of the systemd unit', async () => {
	await using daemon = await Daemon.start({ program, env: unitEnvironment });
	const samples = await daemon.metrics();
	expect(samples.find(({ name }) => name === 'toascope_build_info')?.labels['version']).toBe(version);
});

test.each(['http/protobuf', 'grpc'])('can send spans and connection records over %s', async (protocol) => {
	// no client connects, so nothing is sent there
	const env = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://127.0.0.1:4318', OTEL_EXPORTER_OTLP_PROTOCOL: protocol };
	await using daemon = await Daemon.start({ program, env, config: 'otel: {logs: on}' });
	const signals = ['metrics', 'traces', 'logs'].map((signal) => expect.objectContaining({ signal }));
	expect(await daemon.json('/v1/status')).toMatchObject({ spans: true, otlp: signals });
	// the query is in a file of its own
	const args = ['lookup', '192.0.2.1:4711', '--at', '2026-01-01T00:00:00Z', '--socket', daemon.socket];
	const { status, stdout } = spawnSync(process.execPath, [program, ...args], { encoding: 'utf8' });
	expect(status).toBe(1);
	expect(stdout).toContain("toIPv6('192.0.2.1')");
});

test('writes a readable log', async () => {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	const config = join(directory, 'toascope.yaml');
	writeFileSync(config, 'http: {listen: off, socket: off}\nbpf: {pin: off}\nlog: {format: pretty}\n');
	const child = spawn(process.execPath, [program, 'run', '--config', config], { stdio: ['ignore', 'ignore', 'pipe'] });
	const ended = once(child, 'exit');
	try {
		const [line] = (await once(createInterface({ input: child.stderr }), 'line')) as [string];
		expect(line).toMatch(/^\[\d\d:\d\d:\d\d\.\d{3}\] .*INFO.*: .*attached/);
	} finally {
		child.kill();
		await ended;
		rmSync(directory, { recursive: true });
	}
});

test('runs the demo, with its lab', () => {
	const args = [
		program,
		'demo',
		'--once',
		'--clients',
		'5',
		'--connections',
		'10',
		'--json',
		'--listen',
		'127.0.0.1:0',
	];
	const printed = execFileSync(process.execPath, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] });
	expect(JSON.parse(printed)).toMatchObject({ connections: 10, resolved: 10, mismatched: 0 });
});
