// SPDX-License-Identifier: Apache-2.0
/**
 * The version, from package.json: one level up in the sources, two or three in the published
 * package.
 */
import { existsSync, readFileSync } from 'node:fs';

const candidates = ['../package.json', '../../package.json', '../../../package.json'].map(
	(path) => new URL(path, import.meta.url),
);

function read(): string {
	const found = candidates.find((candidate) => existsSync(candidate));
	if (found === undefined) throw new Error('the package.json of toascope is missing');
	return (JSON.parse(readFileSync(found, 'utf8')) as { version: string }).version;
}

export const version = read();
