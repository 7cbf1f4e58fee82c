// SPDX-License-Identifier: Apache-2.0
/** `provider: auto` where one of the two cannot work: the other is taken, and the log says why; or neither, with what is wrong with bpf. */
import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isReadyLine, stop, untilReady } from '../../../daemon/lab/process.ts';
import { buildDirectory } from '../../../daemon/module/build.ts';
import { copySources } from '../../../daemon/module/sources.ts';
import { compile, takes32Bit } from '../../fixtures/c_program.ts';
import { toascope } from '../../fixtures/command.ts';
import { Daemon } from '../../fixtures/daemon.ts';
import { loadToa, unloadToa } from '../../fixtures/module.ts';
import { moduleFile } from '../../fixtures/module_file.ts';
import { readiness } from '../../fixtures/readiness.ts';
import { Stage, somePorts } from '../../fixtures/stage.ts';
import { inMountNamespace, unmountAll } from '../../fixtures/wrong_host.ts';

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
	/** The end of a start that fails. */
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

	it('a module that was built before is loaded, answers, and goes with the daemon', async () => {
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

	it('a module that does not load: both are said, and the end is what is wrong with bpf', async () => {
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

	it('with no module that is ready none is built: the end is what is wrong with bpf, at once', async () => {
		const { code, err } = await refused(withoutCgroups);
		expect(code).toBe(3);
		expect(err).toMatch(/^toascope: .* \[NO_CGROUP2\]\n {2}mount -t cgroup2[^\n]*\n$/);
		expect(existsSync(join(built, 'toa.ko'))).toBe(false);
	});
});

describe.runIf(takes32Bit)('where toa.ko is loaded, and a 32-bit server listens', () => {
	beforeAll(loadToa);
	afterAll(unloadToa);

	/** While `act` runs. */
	async function whileItListens(act: () => Promise<void>): Promise<void> {
		const server = stage.lab.spawn('server', compile('listener32'), [String(port + 2)], { stdio: 'pipe' });
		await untilReady(server, 'listener32', isReadyLine);
		try {
			await act();
		} finally {
			await stop(server, 'SIGTERM');
		}
	}

	it('the module is taken', async () => {
		await whileItListens(async () => {
			await using daemon = await Daemon.start({ config: config('auto') });
			expect(await daemon.logged(/^attached/)).toMatchObject({ provider: 'module' });
			expect(texts(daemon)).toContainEqual(expect.stringMatching(/32-bit servers need it: taking the module/));
		});
	});

	it('bpf is taken where the module does not work, and the log says why', async () => {
		await whileItListens(async () => {
			await using _other = await Daemon.start({ config: config('module') });
			await using daemon = await Daemon.start({ config: config('auto') });
			expect(await daemon.logged(/^attached/)).toMatchObject({ provider: 'bpf' });
			const said = await daemon.logged(/the module does not work here, taking bpf/);
			expect(said).toMatchObject({ level: 40, err: { code: 'ALREADY_RUNNING' } });
			await readiness(daemon, 200);
		});
	});
});
