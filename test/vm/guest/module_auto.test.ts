// SPDX-License-Identifier: Apache-2.0
/**
 * `provider: auto` where one of the two cannot work: the other one is used, and the log says why;
 * or neither works, and the error says what is wrong with bpf.
 */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';
import { buildDirectory } from '../../../daemon/module/build.ts';
import { copySources } from '../../../daemon/module/sources.ts';
import { toascope } from '../../kit/daemon/command.ts';
import { Daemon } from '../../kit/daemon/daemon.ts';
import { readiness } from '../../kit/daemon/readiness.ts';
import { inMountNamespace, unmountAll } from '../../kit/daemon/restricted_process.ts';
import { compile, supports32Bit } from '../../kit/kernel/c_program.ts';
import { loadToa, unloadToa } from '../../kit/kernel/module.ts';
import { moduleFile } from '../../kit/kernel/module_file.ts';
import { Stage, somePorts } from '../../kit/wire/toa_stage.ts';

const port = somePorts(3);
const config = (provider: string, ...more: string[]) =>
	[`provider: ${provider}`, `listeners: {ports: [${port}-${port + 2}]}`, ...more].join('\n');
const built = buildDirectory(release());
const isLoaded = () => existsSync('/sys/module/toa');

let stage: Stage;
beforeAll(async () => {
	stage = await Stage.open(port);
});
afterAll(async () => {
	await stage?.[Symbol.asyncDispose]();
});

const texts = (daemon: Daemon) => daemon.log.map(({ msg }) => msg);

describe('where BPF is refused', () => {
	const withoutCgroups = unmountAll('cgroup2');
	/** The exit code and output of a start that fails. */
	async function refused(setup: string) {
		const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
		const file = join(directory, 'toascope.yaml');
		writeFileSync(
			file,
			'provider: auto\nbpf: {pin: off}\nhttp: {listen: "127.0.0.1:0", socket: off}\nlog: {format: json}\n',
		);
		const ended = await toascope(['run', '--config', file], { by: inMountNamespace(setup) });
		rmSync(directory, { recursive: true });
		return ended;
	}

	beforeEach(() => copySources(built));
	afterEach(() => rmSync(built, { recursive: true, force: true }));

	it('a module that was built before is loaded, answers, and is removed with the daemon', async () => {
		copyFileSync(moduleFile(), join(built, 'toa.ko'));
		{
			await using daemon = await Daemon.start({ config: config('auto'), through: inMountNamespace(withoutCgroups) });
			const found = await daemon.logged(/bpf does not work here, trying the module/);
			expect(found).toMatchObject({ level: 40, err: { code: 'NO_CGROUP2' } });
			await readiness(daemon, 200);
			expect(await daemon.json('/v1/status')).toMatchObject({ provider: 'module', accept_program: 'none' });
			await using connection = await stage.connect('AF_INET', 'nat64');
			expect(await connection.probe.getsockopt(0, 4096, 20)).toMatchObject({ result: 0 });
		}
		expect(isLoaded()).toBe(false);
	});

	it('if the module does not load, both failures are logged, and the error is that of bpf', async () => {
		// a function to probe that no kernel has
		const [found, none] = ['tcp_rcv_state_process', 'tcp_rcv_state_procesX'];
		const bytes = readFileSync(moduleFile());
		for (let at = bytes.indexOf(found); at >= 0; at = bytes.indexOf(found, at + 1)) bytes.write(none, at);
		writeFileSync(join(built, 'toa.ko'), bytes);
		const { code, err } = await refused(withoutCgroups);
		expect(code).toBe(3);
		const [trying, neither, ...end] = err.trim().split('\n');
		expect(JSON.parse(trying ?? '')).toMatchObject({ msg: expect.stringMatching(/trying the module/) });
		expect(JSON.parse(neither ?? '')).toMatchObject({
			msg: 'provider auto: the module does not work here either',
			err: { code: 'MODULE_LOAD_FAILED' },
		});
		expect(end.join('\n')).toMatch(/^toascope: .*cgroup v2 is not mounted.* \[NO_CGROUP2\]\n {2}mount -t cgroup2/);
		expect(isLoaded()).toBe(false);
	});

	it('without a built module, none is built: the start fails at once with the error of bpf', async () => {
		const { code, err } = await refused(withoutCgroups);
		expect(code).toBe(3);
		expect(err).toMatch(/^toascope: .* \[NO_CGROUP2\]\n {2}mount -t cgroup2[^\n]*\n$/);
		expect(existsSync(join(built, 'toa.ko'))).toBe(false);
	});
});

describe.runIf(supports32Bit)('where toa.ko is loaded, and a 32-bit server listens', () => {
	beforeAll(loadToa);
	afterAll(unloadToa);

	/** Runs `act` while the server listens. */
	async function whileServerListens(act: () => Promise<void>): Promise<void> {
		const server = stage.lab.spawn('server', compile('listener32'), [String(port + 2)], { stdio: 'pipe' });
		await untilReady(server, 'listener32', isReadyLine);
		try {
			await act();
		} finally {
			await stop(server, 'SIGTERM');
		}
	}

	it('the module is used', async () => {
		await whileServerListens(async () => {
			await using daemon = await Daemon.start({ config: config('auto') });
			expect(await daemon.logged(/^attached/)).toMatchObject({ provider: 'module' });
			expect(texts(daemon)).toContainEqual(expect.stringMatching(/using toa\.ko, which 32-bit servers require/));
		});
	});

	it('bpf is used where the module does not work, and the log says why', async () => {
		await whileServerListens(async () => {
			await using _other = await Daemon.start({ config: config('module') });
			await using daemon = await Daemon.start({ config: config('auto') });
			expect(await daemon.logged(/^attached/)).toMatchObject({ provider: 'bpf' });
			const line = await daemon.logged(/the module does not work here, using bpf/);
			expect(line).toMatchObject({ level: 40, err: { code: 'ALREADY_RUNNING' } });
			await readiness(daemon, 200);
		});
	});
});
