// SPDX-License-Identifier: Apache-2.0
/** The version, from package.json: one level up in the sources, two or three in what is published. */
import { existsSync, readFileSync } from 'node:fs';

const places = ['../package.json', '../../package.json', '../../../package.json'].map(
	(place) => new URL(place, import.meta.url),
);

function read(): string {
	const found = places.find((place) => existsSync(place));
	if (found === undefined) throw new Error('package.json is missing beside toascope');
	return (JSON.parse(readFileSync(found, 'utf8')) as { version: string }).version;
}

export const version = read();
