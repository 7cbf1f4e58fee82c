// SPDX-License-Identifier: Apache-2.0
/** Exemplars in the snapshots of a store: a connection is shown once it is counted. */
import { expect, it } from 'vitest';
import { bounds } from '../../../daemon/capture/records/records.ts';
import { Exemplars } from '../../../daemon/model/exemplars.ts';
import { Store } from '../../../daemon/model/store.ts';
import { KernelModel } from '../../kit/model/kernel.ts';
import { connection } from '../../kit/telemetry/spans.ts';

it('a snapshot has the exemplars of connections whose record was read before its sweep', async () => {
	const kernel = new KernelModel();
	const exemplars = new Exemplars(bounds);
	const store = new Store(kernel, { maxExported: 10, idleMs: 900_000 }, () => ({}), exemplars);
	const event = { connection, listener: { slot: 0, service: 0 } };
	kernel.openAndClose('x', 1n);
	exemplars.add(event, { traceId: 'counted', spanId: 'counted' }, 1n);
	// as if a connection closed while the collection runs, after the sweep
	kernel.meanwhile = () => exemplars.add(event, { traceId: 'later', spanId: 'later' }, 2n);
	const rtt = async () => (await store.collect(async (until) => void (await until))).listeners[0]?.rtt;
	const first = await rtt();
	expect(first?.exemplars?.[8]).toEqual({ traceId: 'counted', spanId: 'counted', valueNs: 12_345_125n, timeNs: 1n });
	const second = await rtt();
	expect(second?.exemplars?.[8]).toMatchObject({ traceId: 'later' });
	expect(first?.exemplars?.[8]).toMatchObject({ traceId: 'counted' });
});

it('a listener without exemplars has the totals that it has without spans', async () => {
	const kernel = new KernelModel();
	kernel.openAndClose('x', 1n);
	const totals = async (exemplars?: Exemplars) => {
		const store = new Store(kernel, { maxExported: 10, idleMs: 900_000 }, () => ({}), exemplars);
		return (await store.collect(async (until) => void (await until))).listeners;
	};
	expect(await totals(new Exemplars(bounds))).toEqual(await totals());
});
