// SPDX-License-Identifier: Apache-2.0
/** What building the module takes, and which packages of this distribution have it. */

import { join } from 'node:path';
import { readText } from './loaded.ts';
import type { Roots } from './roots.ts';

export interface Distribution {
	/** ID and ID_LIKE of os-release(5). */
	readonly ids: readonly string[];
}

export function readDistribution({ etc }: Roots): Distribution {
	return parseOsRelease(readText(join(etc, 'os-release')) ?? '');
}

export function parseOsRelease(text: string): Distribution {
	const value = (name: string) =>
		new RegExp(`^${name}=["']?([^"'\n]*)`, 'm').exec(text)?.[1]?.split(/\s+/).filter(Boolean) ?? [];
	return { ids: [...value('ID'), ...value('ID_LIKE')] };
}

export type Part =
	| { readonly part: 'headers'; readonly release: string }
	| { readonly part: 'make' }
	| { readonly part: 'dkms' }
	/** `command`: such as gcc-12. */
	| { readonly part: 'compiler'; readonly command: string };

interface Family {
	readonly ids: readonly string[];
	readonly install: string;
	readonly headers: (release: string) => string;
	readonly compiler: (command: string) => string;
}

const families: readonly Family[] = [
	{
		ids: ['debian', 'ubuntu'],
		install: 'apt install',
		headers: (release) => `linux-headers-${release}`,
		compiler: (command) => command.replace(/^.*-linux-gnu-/, ''),
	},
	{
		ids: ['rhel', 'fedora', 'centos', 'openEuler', 'openeuler', 'hce', 'anolis', 'alinux', 'amzn'],
		install: 'dnf install',
		headers: (release) => `kernel-devel-${release}`,
		compiler: (command) => command.replace(/-\d+$/, ''),
	},
	{
		ids: ['suse', 'opensuse', 'sles'],
		install: 'zypper install',
		// 6.4.0-150600.23.47-default: the flavour is the last part
		headers: (release) => {
			const [, version = release, flavour = 'default'] = /^(.*)-([a-z_]+)$/.exec(release) ?? [];
			return `kernel-${flavour}-devel=${version}`;
		},
		compiler: (command) => command.replace(/-(\d+)$/, '$1'),
	},
];

/** How what is missing comes here, as one command; in words for a distribution that is not known. */
export function howToInstall(missing: readonly Part[], { ids }: Distribution): string {
	const family = families.find((each) => each.ids.some((id) => ids.includes(id)));
	if (family === undefined) return `install ${missing.map(inWords).join(', ')}`;
	const packages = missing.map((part) => {
		if (part.part === 'headers') return family.headers(part.release);
		return part.part === 'compiler' ? family.compiler(part.command) : part.part;
	});
	return `${family.install} ${packages.join(' ')}`;
}

export function inWords(part: Part): string {
	if (part.part === 'headers') return `the headers of kernel ${part.release}`;
	return part.part === 'compiler' ? `the compiler ${part.command}` : part.part;
}
