// SPDX-License-Identifier: Apache-2.0
/**
 * The configuration in the kernel. A new one is written beside the one in force (settings, ports,
 * trusted networks, each with its generation), then one 32-bit store switches over.
 */
import type { Config } from '../config/config.ts';
import { ToascopeError } from '../errors.ts';
import { limit, portBitsLayout } from './layout.gen.ts';
import type { BpfObject } from './native.ts';
import { ownNetns } from './netns.ts';
import type { ProviderName } from './provider.ts';
import { encodePorts, encodeSettings, encodeTrust } from './settings.ts';

const yes = Buffer.from([1, 0, 0, 0]);

function word(value: number): Buffer {
	const bytes = Buffer.alloc(4);
	bytes.writeUInt32LE(value);
	return bytes;
}

export class KernelSettings {
	readonly #bpf: BpfObject;
	readonly #provider: ProviderName;
	#generation = 0;
	#trusted: readonly Buffer[] = [];
	/** Of the generation before. */
	#before: readonly Buffer[] = [];

	/** Of an object whose programs are not attached yet. */
	constructor(bpf: BpfObject, provider: ProviderName = 'bpf') {
		this.#bpf = bpf;
		this.#provider = provider;
	}

	/**
	 * Puts it in force. `events`: the bits 1 << enum event_type that go into the ring. `servedCgroup`: the id of the cgroup
	 * whose sockets are served; 0n: all.
	 * @throws {ToascopeError} CONFIG_INVALID where the networks do not fit; nothing has changed then
	 */
	apply(config: Config, events: number, servedCgroup: bigint): void {
		const generation = (this.#generation + 1) >>> 0;
		const place = generation & 1;
		// a program that began before the latest switch goes by what is overwritten and taken away from here on
		if (this.#generation > 1) this.#bpf.waitForRuns();
		this.#writePorts(config, place);
		for (const network of this.#before) this.#bpf.remove('trust', network);
		this.#before = [];
		const trusted = config.trust.map((network) => encodeTrust(network, generation));
		try {
			this.#writeTrusted(trusted);
			const settings = encodeSettings(config, generation, events, ownNetns(), servedCgroup, this.#provider);
			this.#bpf.update('settings', word(place), settings);
			this.#bpf.update('generation', word(0), word(generation));
		} catch (error) {
			// the next try has the same generation: it must not find these
			for (const added of trusted) this.#bpf.remove('trust', added);
			throw error;
		}
		this.#before = this.#trusted;
		this.#trusted = trusted;
		this.#generation = generation;
	}

	#writePorts(config: Config, place: number): void {
		const ports = encodePorts(config);
		for (let index = 0; index < limit.PORT_WORDS; index++) {
			const at = index * portBitsLayout.size;
			this.#bpf.update('ports', word(place * limit.PORT_WORDS + index), ports.subarray(at, at + portBitsLayout.size));
		}
	}

	#writeTrusted(trusted: readonly Buffer[]): void {
		for (const network of trusted) {
			if (this.#bpf.update('trust', network, yes)) continue;
			throw new ToascopeError('CONFIG_INVALID', 'trust: the kernel has no room for so many networks', {
				hint: 'name fewer and larger networks',
			});
		}
	}
}
