// SPDX-License-Identifier: Apache-2.0
/** Loads the addon (native/client.c): the prebuilt one, or the one that the installation compiled. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

interface Addon {
	/**
	 * Asks for the client of a descriptor. Returns 0 if the answer is in `answer`, otherwise the
	 * errno.
	 */
	lookup(fd: number): number;
	/** struct toa_nat64_peer: address (16 bytes), port (2, network order), padding (2). */
	readonly answer: ArrayBuffer;
}

type Loaded = { readonly addon: Addon } | { readonly addon?: undefined; readonly error: string };

function load(): Loaded {
	if (process.platform !== 'linux') return { error: `TOA is read on Linux only, and this is ${process.platform}` };
	const errors: string[] = [];
	for (const name of [`linux-${process.arch}`, 'built']) {
		const path = fileURLToPath(new URL(`../dist/native/${name}.node`, import.meta.url));
		if (!existsSync(path)) {
			errors.push(`${path} does not exist`);
			continue;
		}
		try {
			const loaded = { exports: {} };
			process.dlopen(loaded, path);
			return { addon: loaded.exports as Addon };
		} catch (error) {
			errors.push(error instanceof Error ? error.message : String(error));
		}
	}
	return { error: errors.join('; ') };
}

/** The addon of this thread, or why there is none. */
export const native: Loaded = load();
