// SPDX-License-Identifier: Apache-2.0
/** `/v1/status` where only toa.ko works: no connection is tracked, and its counters are exact. */
import { expect, it } from 'vitest';
import { bpfReader } from '../../../daemon/capture/provider.ts';
import { defaultConfig } from '../../../daemon/config/load.ts';
import { ModuleStore } from '../../../daemon/model/module_store.ts';
import { ModuleProvider } from '../../../daemon/module/module_provider.ts';
import { statusJson } from '../../../daemon/service/status.ts';

const most = 2n ** 64n - 1n;

it('reports what toa.ko counted, exactly, and no connections', async () => {
	let events: Readonly<Record<string, bigint>> = { connections: 1n };
	const store = new ModuleStore(
		() => events,
		{ maxExported: 10, idleMs: 1000 },
		() => ({ ring_full: 2n }),
	);
	expect(store.snapshot).toBeUndefined();
	const first = await store.collect();
	events = { connections: most };
	const second = await store.collect();
	expect([first.moduleEvents, second.moduleEvents]).toEqual([{ connections: 1n }, { connections: most }]);
	expect(store.snapshot).toBe(second);
	expect(second).toMatchObject({ listeners: [], clientsTracked: 0, drops: { ring_full: 2n }, maps: [] });

	const status = statusJson({
		provider: new ModuleProvider(bpfReader),
		config: defaultConfig(),
		configFile: undefined,
		reload: { successful: true, successAtMs: 0, attempts: 0, error: undefined, restartKeys: [] },
		startedMs: 0,
		spanRatios: undefined,
		retention: { retainedNs: 12_500_000_000n, slotNs: 40_000_000_000n },
		otlp: [],
		otlpOff: {},
		notReady: [],
		snapshot: second,
		recent: undefined,
		listening: undefined,
	});
	expect(status).toMatchObject({
		provider: 'module',
		cgroup: null,
		whole_host: true,
		adopted: false,
		module: { events: { connections: String(most) } },
		total: { opened: '0' },
		recent: null,
	});
	// every value is one that JSON has: a bigint would make the response an error
	expect(JSON.parse(JSON.stringify(status))).toEqual(status);
});
