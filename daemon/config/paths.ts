// SPDX-License-Identifier: Apache-2.0
/** Paths in the configuration: absolute, since the working directory of a daemon is arbitrary. */
import { normalize } from 'node:path';
import { z } from 'zod';
import { BadValue, parsing } from './value.ts';

function parsePath(value: string, error: string): string {
	if (!value.startsWith('/') || value.includes('\0')) throw new BadValue(error);
	return normalize(value).replace(/(?<=.)\/+$/, '');
}

/** An absolute path. */
export const absolutePath = parsing(z.string({ error: 'must be an absolute path' }), (value) =>
	parsePath(value, 'must be an absolute path'),
);

/**
 * An absolute path below `/`, or `off`; undefined when off. `maxBytes`: the limit of the kernel.
 */
export function pathOrOff(maxBytes = 4095) {
	const error = `must be an absolute path of at most ${maxBytes} bytes, or off`;
	return parsing(z.union([z.literal(false), z.string()], { error }), (value) => {
		if (value === false || value === 'off') return undefined;
		const path = parsePath(value, error);
		if (path === '/' || Buffer.byteLength(path) > maxBytes) throw new BadValue(error);
		return path;
	});
}
