// SPDX-License-Identifier: Apache-2.0
/** Whose toa.ko is, after others unloaded it: what is ours is taken away at the stop, and nothing else. */
import { beforeEach, expect, it, vi } from 'vitest';
import { defaultConfig } from '../../daemon/config/load.ts';
import type { LogSink } from '../../daemon/log_lines.ts';
import { KernelModule } from '../../daemon/module/kernel_module.ts';
import { loadModule } from '../../daemon/module/load.ts';
import { removeModule } from '../../daemon/module/unload.ts';

/** The module in the kernel, by a number of its own for each time that it was loaded; 0: none is. */
const kernel = vi.hoisted(() => ({ id: 0, last: 0 }));

vi.mock(import('../../daemon/module/load.ts'), async (original) => ({
	...(await original()),
	loadModule: vi.fn(async () => {
		if (kernel.id !== 0) return 'was loaded' as const;
		kernel.id = ++kernel.last;
		return 'loaded' as const;
	}),
}));
vi.mock(import('../../daemon/module/unload.ts'), async (original) => ({
	...(await original()),
	removeModule: vi.fn(() => {
		kernel.id = 0;
	}),
}));
vi.mock('../../daemon/module/verify.ts', () => ({ verifyModule() {} }));
vi.mock('../../daemon/module/loaded.ts', async (original) => ({
	...(await original<object>()),
	readLoaded: () => undefined,
}));
vi.mock('../../daemon/module/host_lock.ts', () => ({
	HostLock: {
		take() {
			let id = kernel.id;
			return {
				isOfLoaded: () => id !== 0 && id === kernel.id,
				release() {
					id = 0;
				},
			};
		},
	},
}));
vi.mock(import('../../daemon/module/parameters.ts'), async (original) => {
	const real = await original();
	class Parameters extends real.Parameters {
		override apply() {}
		override read = () => ({ profiles: 'nat64', trust: '', sockoptIpv4: 'mapped' });
		override otherThan = () => undefined;
	}
	return { ...real, Parameters };
});

const log: LogSink = { info() {}, warn() {}, error() {} };
const open = () => KernelModule.open(defaultConfig(), log, true);
/** By another process. */
const unload = () => {
	kernel.id = 0;
};
const loadByOther = () => {
	kernel.id = ++kernel.last;
};
const settled = () => new Promise(setImmediate);

beforeEach(() => {
	unload();
	vi.mocked(removeModule).mockClear();
});

it('takes away what it loaded, and leaves what it found', async () => {
	(await open()).close(false);
	expect(kernel.id).toBe(0);
	loadByOther();
	(await open()).close(false);
	expect(kernel.id).not.toBe(0);
});

it('leaves the one that another process loaded in place of its own', async () => {
	const module = await open();
	unload();
	loadByOther();
	module.check();
	await settled();
	expect(module.check().missing).toEqual([]);
	module.close(false);
	expect(removeModule).not.toHaveBeenCalled();
	expect(kernel.id).not.toBe(0);
});

it('leaves it also where no check came between', async () => {
	const module = await open();
	unload();
	loadByOther();
	module.close(false);
	expect(kernel.id).not.toBe(0);
});

it('takes away the one that it loaded again in place of what it found', async () => {
	loadByOther();
	const module = await open();
	unload();
	module.check();
	await settled();
	expect(kernel.id).not.toBe(0);
	module.close(false);
	expect(kernel.id).toBe(0);
});

it.each([
	{ keep: false, found: false },
	{ keep: true, found: false },
	{ keep: false, found: true },
	{ keep: true, found: true },
])('loaded again too late, after a stop with keep $keep (found loaded at first: $found)', async ({ keep, found }) => {
	if (found) loadByOther();
	const module = await open();
	unload();
	const loading = Promise.withResolvers<void>();
	vi.mocked(loadModule).mockImplementationOnce(async () => {
		await loading.promise;
		loadByOther();
		return 'loaded';
	});
	module.check();
	module.close(keep);
	loading.resolve();
	await settled();
	expect(kernel.id !== 0).toBe(keep);
});
