// SPDX-License-Identifier: Apache-2.0
/** toa.ko in use by a daemon: unloaded, replaced, changed or switched off by other processes. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import { ftraceOffReason, kprobesOffReason } from '../../../daemon/host/tracing_switch.ts';
import type { LogSink } from '../../../daemon/log_line.ts';
import type { LoadedModule } from '../../../daemon/module/loaded.ts';
import { ModuleCheck } from '../../../daemon/module/module_check.ts';

const own: LoadedModule = { origin: 'own', version: '1', srcversion: 'A', parameters: {}, references: 0, taint: '' };

function setup() {
	const logged: Record<string, unknown>[] = [];
	const push = (context: object, text: string) => void logged.push({ text, ...context });
	const log: LogSink = { info: push, warn: push, error: push };
	const module = {
		now: own as LoadedModule | undefined,
		ours: true,
		other: undefined as string | undefined,
		off: undefined as string | undefined,
		refused: undefined as Error | undefined,
		loads: 0,
		applied: 0,
		/** How long an attempt to load it takes. */
		loadMs: 0,
		timeMs: 0,
	};
	const check = new ModuleCheck(
		{
			loaded: () => module.now,
			isConfiguredInstance: () => module.ours,
			changedParameters: () => module.other,
			apply() {
				module.applied++;
				if (module.refused !== undefined) throw module.refused;
				module.other = undefined;
			},
			async loadAgain() {
				module.loads++;
				module.timeMs += module.loadMs;
				if (module.refused !== undefined) throw module.refused;
				module.now = own;
				module.ours = true;
			},
			probesOff: () => module.off,
		},
		log,
		() => module.timeMs,
	);
	return { logged, module, check };
}

it('reports nothing if nothing is wrong', () => {
	const { check, logged } = setup();
	expect(check.run()).toEqual({ lost: { module: 0n, module_parameters: 0n, module_probes: 0n }, missing: [] });
	expect(logged).toEqual([]);
});

it('logs once that it was unloaded, and loads it again', async () => {
	const { check, module, logged } = setup();
	module.now = undefined;
	module.ours = false;
	expect(check.run()).toMatchObject({ lost: { module: 1n }, missing: [{ reason: 'module_missing' }] });
	await Promise.resolve();
	expect(check.run()).toMatchObject({ lost: { module: 1n }, missing: [] });
	expect([module.loads, logged.length]).toEqual([1, 1]);
	expect(logged[0]).toMatchObject({ text: expect.stringMatching(/^toa\.ko was unloaded/), found: 'not loaded' });
});

it('retries after ten seconds if the kernel refuses it, and names what is loaded instead', async () => {
	const { check, module, logged } = setup();
	module.now = { ...own, origin: 'foreign', version: undefined };
	module.ours = false;
	module.refused = Object.assign(new Error('in the way'), { code: 'MODULE_FOREIGN' });
	for (module.timeMs = 0; module.timeMs < 20_000; module.timeMs += 1000) {
		expect(check.run().missing[0]?.text).toContain("not toascope's");
		await new Promise(setImmediate);
	}
	expect(module.loads).toBe(2);
	expect(logged.map(({ text }) => text)).toEqual([
		expect.stringMatching(/^toa\.ko was unloaded/),
		'toa.ko cannot be loaded again',
	]);
	module.refused = undefined;
	module.timeMs = 30_000;
	check.run();
	await new Promise(setImmediate);
	expect(check.run()).toMatchObject({ lost: { module: 1n }, missing: [] });
});

it('pauses after each attempt, longer each time up to ten minutes, however long attempts take', async () => {
	const { check, module } = setup();
	const ends: number[] = [];
	module.now = undefined;
	module.ours = false;
	module.loadMs = 15_000;
	module.refused = Object.assign(new Error('make'), { code: 'MODULE_BUILD_FAILED' });
	for (module.timeMs = 0; ends.length < 9; module.timeMs += 1000) {
		const { loads } = module;
		check.run();
		await new Promise(setImmediate);
		if (module.loads > loads) ends.push(module.timeMs);
	}
	const pauses = ends.slice(1).map((end, index) => end - (ends[index] as number) - module.loadMs);
	expect(pauses).toEqual([10_000, 20_000, 40_000, 80_000, 160_000, 320_000, 600_000, 600_000]);
	// another module is loaded now: retried ten seconds after the latest attempt
	module.now = { ...own, origin: 'foreign' };
	module.timeMs = (ends.at(-1) as number) + 10_000;
	check.run();
	expect(module.loads).toBe(10);
});

it('restores parameters that others changed, and is ready at the next check', () => {
	const { check, module, logged } = setup();
	module.other = 'trust=0.0.0.0/0';
	expect(check.run()).toMatchObject({ lost: { module_parameters: 1n }, missing: [{ reason: 'module_parameters' }] });
	expect(check.run().missing).toEqual([]);
	expect(logged).toMatchObject([{ found: 'trust=0.0.0.0/0' }]);
	expect(logged[0]).not.toHaveProperty('err');
});

it('stays not ready while changed parameters cannot be restored', () => {
	const { check, module, logged } = setup();
	module.other = 'trust=0.0.0.0/0';
	module.refused = Object.assign(new Error('no'), { code: 'MODULE_REFUSED' });
	check.run();
	expect(check.run().missing).toMatchObject([{ reason: 'module_parameters' }]);
	expect(module.applied).toBe(1);
	expect(logged).toMatchObject([{ err: module.refused }]);
});

it('counts a change that cannot be restored once, and retries every ten seconds', () => {
	const { check, module } = setup();
	const lost = () => check.run().lost['module_parameters'];
	module.other = 'trust=0.0.0.0/0';
	module.refused = Object.assign(new Error('no'), { code: 'MODULE_REFUSED' });
	for (module.timeMs = 0; module.timeMs < 30_000; module.timeMs += 1000) expect(lost()).toBe(1n);
	expect(module.applied).toBe(3);
	// changed once more: retried at once
	module.timeMs = 31_000;
	module.other = 'trust=10.0.0.0/8';
	expect([lost(), module.applied]).toEqual([2n, 4]);
	module.refused = undefined;
	module.timeMs = 41_000;
	expect([lost(), module.applied, lost()]).toEqual([2n, 5, 2n]);
	// a change after a successful restore counts again, even if it is the same one
	module.other = 'trust=10.0.0.0/8';
	expect([lost(), module.applied, lost()]).toEqual([3n, 6, 3n]);
});

it('logs that the probes are switched off, counts each time, and is ready when they are on', () => {
	const { check, module, logged } = setup();
	module.off = 'kernel.ftrace_enabled is 0';
	check.run();
	expect(check.run()).toMatchObject({ lost: { module_probes: 1n }, missing: [{ reason: 'module_switched_off' }] });
	expect(logged).toMatchObject([{ why: module.off }]);
	module.off = undefined;
	expect(check.run().missing).toEqual([]);
	module.off = 'kernel.ftrace_enabled is 0';
	expect(check.run().lost['module_probes']).toBe(2n);
});

it.each([
	['all on', { ftrace: '1\n', kprobes: '1\n' }, undefined, undefined],
	['nothing readable', {}, undefined, undefined],
	['functions off', { ftrace: '0\n', kprobes: '1\n' }, /ftrace_enabled/, /ftrace_enabled/],
	['kprobes off', { ftrace: '1\n', kprobes: '0\n' }, undefined, /kprobes\/enabled/],
])('the switches of the kernel: %s', (_what, { ftrace, kprobes }: Record<string, string>, functions, probes) => {
	const root = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	onTestFinished(() => rmSync(root, { recursive: true }));
	const write = (path: string, text: string) => {
		mkdirSync(dirname(join(root, path)), { recursive: true });
		writeFileSync(join(root, path), text);
	};
	if (ftrace !== undefined) write('proc/sys/kernel/ftrace_enabled', ftrace);
	if (kprobes !== undefined) write('sys/kernel/debug/kprobes/enabled', kprobes);
	const switches = { proc: join(root, 'proc'), sys: join(root, 'sys') };
	const found = (why: string | undefined, expected: RegExp | undefined) =>
		expected === undefined ? expect(why).toBeUndefined() : expect(why).toMatch(expected);
	found(ftraceOffReason(switches), functions);
	found(kprobesOffReason(switches, 'x64'), probes);
	// kprobes on arm64 do not use ftrace
	found(kprobesOffReason(switches, 'arm64'), kprobes === '0\n' ? probes : undefined);
});
