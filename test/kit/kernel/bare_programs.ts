// SPDX-License-Identifier: Apache-2.0
/**
 * The kernel side without a daemon, for tests that sweep by hand, or that write states into the
 * maps that hardly ever occur by themselves.
 */
import { setImmediate as yieldLoop } from 'node:timers/promises';
import { expect } from 'vitest';
import { KernelSettings } from '../../../daemon/capture/kernel_settings.ts';
import { load } from '../../../daemon/capture/load.ts';
import { Counters } from '../../../daemon/capture/maps/counters.ts';
import { connectionLayout, listenerKeyLayout, slotState } from '../../../daemon/capture/records/layout.gen.ts';
import { noEmission } from '../../../daemon/capture/settings.ts';
import { Sweeper } from '../../../daemon/capture/sweeper.ts';
import { toConfig } from '../../../daemon/config/config.ts';
import { fileSchema } from '../../../daemon/config/schema.ts';
import { findCgroup2, readMounts } from '../../../daemon/host/mounts.ts';
import { formatEndpoint } from '../../../daemon/model/address.ts';
import { trafficFields } from '../../../daemon/model/traffic.ts';
import { type BpfObject, native } from '../../../native/binding.ts';
import { scaleTimeout } from '../timeouts.ts';

/** The loaded programs and their maps. */
export class BarePrograms implements Disposable {
	readonly bpf: BpfObject;
	readonly counters: Counters;
	readonly #sweeper: Sweeper;
	readonly #name: string;

	/** `listener` is its address and port as text; `keys` are keys of the configuration. */
	constructor(listener: string, keys: Record<string, object>) {
		this.#name = listener;
		const config = toConfig(fileSchema.parse(keys), {});
		const probed = native().probe();
		this.bpf = load({ config, probed, reader: 'bpf' });
		this.#sweeper = new Sweeper(this.bpf);
		this.counters = new Counters(
			this.bpf,
			this.#sweeper,
			() => undefined,
			() => ({}),
		);
		new KernelSettings(this.bpf).apply(config, noEmission, 0n);
		// the entry of the listener "other"
		this.bpf.map('listener_index').update(Buffer.alloc(listenerKeyLayout.size), Buffer.alloc(4));
		this.bpf.attach('toascope_sockops', { cgroup: findCgroup2(readMounts()) ?? '' });
	}

	/** Counts open connections, too, as the daemon does every few seconds. */
	sweepOpen(): Promise<void> {
		return this.#sweeper.sweep(true, () => yieldLoop());
	}

	/** Counts closed and new connections, as the daemon does at each collection. */
	collect(): Promise<void> {
		return this.counters.sweep(() => yieldLoop());
	}

	/**
	 * Makes all open connections appear to have lost their sockets, by clearing the sockets'
	 * addresses. Returns the number of open connections.
	 */
	clearSockets(): number {
		const { maxEntries } = this.bpf.map('connections');
		const slot = Buffer.alloc(4);
		const entry = Buffer.alloc(connectionLayout.size);
		let open = 0;
		for (let at = 0; at < maxEntries; at++) {
			slot.writeUInt32LE(at);
			this.bpf.map('connections').lookup(slot, entry);
			if (entry[connectionLayout.state] !== slotState.SLOT_OPEN) continue;
			open++;
			entry.writeBigUInt64LE(0n, connectionLayout.socket);
			this.bpf.map('connections').update(slot, entry);
		}
		return open;
	}

	#listener() {
		return this.counters
			.readListeners()
			.find(({ endpoint }) => endpoint !== undefined && formatEndpoint(endpoint) === this.#name);
	}

	get total() {
		return this.#listener()?.total;
	}

	get handshakes() {
		return this.#listener()?.handshakes;
	}

	/**
	 * The sum of everything that adds up to the listener's total: direct, other, and each client.
	 */
	get sumOfParts() {
		const found = this.#listener();
		const sum: Partial<Record<(typeof trafficFields)[number], bigint>> = {};
		const clients = [...this.counters.readClients()].flatMap((page) =>
			Array.from({ length: page.length }, (_, index) => page.traffic(index)),
		);
		for (const part of [found?.direct, found?.overflow, ...clients]) {
			for (const field of trafficFields) sum[field] = (sum[field] ?? 0n) + (part?.[field] ?? 0n);
		}
		return sum;
	}

	/** Sweeps until this many connections have closed. `sweep` runs one sweep. */
	async closed(count: number, sweep = () => this.sweepOpen()): Promise<void> {
		await expect
			.poll(
				async () => {
					await sweep();
					return this.total?.closed;
				},
				{ timeout: scaleTimeout(20_000) },
			)
			.toBe(BigInt(count));
	}

	[Symbol.dispose](): void {
		this.bpf.close();
	}
}
