// SPDX-License-Identifier: Apache-2.0
/**
 * Which toa.ko belongs to the daemon after other processes unloaded it: a stop removes that one,
 * and no other.
 */
import { beforeEach, expect, it, vi } from 'vitest';
import { defaultConfig } from '../../../daemon/config/load.ts';
import type { LogSink } from '../../../daemon/log_line.ts';
import { KernelModule } from '../../../daemon/module/kernel_module.ts';
import { loadModule } from '../../../daemon/module/load.ts';
import { removeModule } from '../../../daemon/module/unload.ts';

/** The id of the module in the kernel, a new one for each load; 0: none is loaded. */
const kernel = vi.hoisted(() => ({ id: 0, last: 0 }));

vi.mock(import('../../../daemon/module/load.ts'), async (original) => ({
	...(await original()),
	loadModule: vi.fn(async () => {
		if (kernel.id !== 0) return 'was loaded' as const;
		kernel.id = ++kernel.last;
		return 'loaded' as const;
	}),
}));
vi.mock(import('../../../daemon/module/unload.ts'), async (original) => ({
	...(await original()),
	removeModule: vi.fn(() => {
		kernel.id = 0;
	}),
}));
vi.mock('../../../daemon/module/verify.ts', () => ({ verifyModule() {} }));
vi.mock('../../../daemon/module/loaded.ts', async (original) => ({
	...(await original<object>()),
	readLoaded: () => undefined,
}));
vi.mock('../../../daemon/module/host_lock.ts', () => ({
	HostLock: {
		acquire() {
			let id = kernel.id;
			return {
				holdsLoadedModule: () => id !== 0 && id === kernel.id,
				release() {
					id = 0;
				},
			};
		},
	},
}));
vi.mock(import('../../../daemon/module/parameters.ts'), async (original) => {
	const real = await original();
	class Parameters extends real.Parameters {
		override apply() {}
		override read = () => ({ profiles: 'nat64', trust: '', sockoptIpv4: 'mapped' });
		override differencesFrom = () => undefined;
	}
	return { ...real, Parameters };
});

const log: LogSink = { info() {}, warn() {}, error() {} };
const open = () => KernelModule.open(defaultConfig(), log, true);
/** Simulates another process. */
const unload = () => {
	kernel.id = 0;
};
const loadByOther = () => {
	kernel.id = ++kernel.last;
};
const untilSettled = () => new Promise(setImmediate);

beforeEach(() => {
	unload();
	vi.mocked(removeModule).mockClear();
});

it('removes a module that it loaded, and leaves one that it found', async () => {
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
	await untilSettled();
	expect(module.check().missing).toEqual([]);
	module.close(false);
	expect(removeModule).not.toHaveBeenCalled();
	expect(kernel.id).not.toBe(0);
});

it('leaves it even without a check in between', async () => {
	const module = await open();
	unload();
	loadByOther();
	module.close(false);
	expect(kernel.id).not.toBe(0);
});

it('removes the one that it loaded again in place of one that it found', async () => {
	loadByOther();
	const module = await open();
	unload();
	module.check();
	await untilSettled();
	expect(kernel.id).not.toBe(0);
	module.close(false);
	expect(kernel.id).toBe(0);
});

it.each([
	{ keep: false, found: false },
	{ keep: true, found: false },
	{ keep: false, found: true },
	{ keep: true, found: true },
])('a load that ends after a stop with keep $keep (found loaded at first: $found)', async ({ keep, found }) => {
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
	await untilSettled();
	expect(kernel.id !== 0).toBe(keep);
});
