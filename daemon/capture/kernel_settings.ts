// SPDX-License-Identifier: Apache-2.0
/**
 * Writes the configuration to the kernel. A new one is written beside the one in force (settings,
 * ports, trusted networks, each with its generation), then one 32-bit store switches over.
 */

import type { BpfMap, BpfObject } from '../../native/binding.ts';
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { ownNetns } from '../host/netns.ts';
import type { ProviderName } from './provider.ts';
import { constant, portBitsLayout, settingsLayout } from './records/layout.gen.ts';
import { u32 } from './records/records.ts';
import { type Emission, encodePorts, encodeSettings, encodeTrust } from './settings.ts';

const yes = Buffer.from([1, 0, 0, 0]);

export class KernelSettings {
	readonly #bpf: BpfObject;
	readonly #settings: BpfMap;
	readonly #generations: BpfMap;
	readonly #ports: BpfMap;
	readonly #trust: BpfMap;
	readonly #provider: ProviderName;
	#generation = 0;
	/** The settings in force. */
	#current: Buffer = Buffer.alloc(settingsLayout.size);
	#trusted: readonly Buffer[] = [];
	/** The networks of the previous generation. */
	#previous: readonly Buffer[] = [];

	/** The programs of the object must not be attached yet. */
	constructor(bpf: BpfObject, provider: ProviderName = 'bpf') {
		this.#bpf = bpf;
		this.#settings = bpf.map('settings');
		this.#generations = bpf.map('generation');
		this.#ports = bpf.map('ports');
		this.#trust = bpf.map('trust');
		this.#provider = provider;
	}

	/**
	 * Puts a configuration in force. `servedCgroup`: the id of the cgroup whose sockets are served;
	 * 0n: all.
	 * @throws {ToascopeError} CONFIG_INVALID if there are too many networks; nothing has changed
	 * then
	 */
	apply(config: Config, emission: Emission, servedCgroup: bigint): void {
		const generation = (this.#generation + 1) >>> 0;
		const slot = generation & 1;
		// wait for a grace period: a program run that began before the latest switch still uses
		// what is overwritten and removed below
		if (this.#generation > 1) this.#bpf.synchronizeBlocking();
		this.#writePorts(config, slot);
		for (const network of this.#previous) this.#trust.remove(network);
		this.#previous = [];
		const trusted = config.trust.map((network) => encodeTrust(network, generation));
		let settings: Buffer;
		try {
			this.#writeTrusted(trusted);
			settings = encodeSettings(config, generation, emission, ownNetns(), servedCgroup, this.#provider);
			this.#settings.update(u32(slot), settings);
			this.#generations.update(u32(0), u32(generation));
		} catch (error) {
			// the next attempt has the same generation: it must not find these
			for (const added of trusted) this.#trust.remove(added);
			throw error;
		}
		this.#previous = this.#trusted;
		this.#trusted = trusted;
		this.#generation = generation;
		this.#current = settings;
	}

	/**
	 * Changes the threshold of the sampling in place, without a new generation: everything else that is
	 * written is as it was. A program that reads a threshold of which half is written samples one
	 * connection by another ratio, and its record has the threshold that was used.
	 */
	setSampleThreshold(threshold: bigint): void {
		this.#current.writeBigUInt64LE(threshold, settingsLayout.sampleThreshold);
		this.#settings.update(u32(this.#generation & 1), this.#current);
	}

	#writePorts(config: Config, slot: number): void {
		const ports = encodePorts(config);
		for (let index = 0; index < constant.PORT_WORDS; index++) {
			const at = index * portBitsLayout.size;
			this.#ports.update(u32(slot * constant.PORT_WORDS + index), ports.subarray(at, at + portBitsLayout.size));
		}
	}

	#writeTrusted(trusted: readonly Buffer[]): void {
		for (const network of trusted) {
			if (this.#trust.update(network, yes)) continue;
			throw new ToascopeError('CONFIG_INVALID', 'trust: the kernel has no room for this many networks', {
				hint: 'use fewer and larger networks',
			});
		}
	}
}
