// SPDX-License-Identifier: Apache-2.0
/** Build prerequisites of the module, and the packages of this distribution that provide them. */

import { join } from 'node:path';
import { readText } from './files.ts';
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

export type Prerequisite =
	| { readonly part: 'headers'; readonly release: string }
	| { readonly part: 'make' }
	| { readonly part: 'dkms' }
	/** `command`: its name, such as gcc-12. */
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
		// 6.4.0-150600.23.47-default: the last part is the flavour
		headers: (release) => {
			const [, version = release, flavour = 'default'] = /^(.*)-([a-z_]+)$/.exec(release) ?? [];
			return `kernel-${flavour}-devel=${version}`;
		},
		compiler: (command) => command.replace(/-(\d+)$/, '$1'),
	},
];

/** The command that installs what is missing; plain text for an unknown distribution. */
export function installCommand(missing: readonly Prerequisite[], { ids }: Distribution): string {
	const family = families.find((each) => each.ids.some((id) => ids.includes(id)));
	if (family === undefined) return `install ${missing.map(describePart).join(', ')}`;
	const packages = missing.map((part) => {
		if (part.part === 'headers') return family.headers(part.release);
		return part.part === 'compiler' ? family.compiler(part.command) : part.part;
	});
	return `${family.install} ${packages.join(' ')}`;
}

export function describePart(part: Prerequisite): string {
	if (part.part === 'headers') return `the headers of kernel ${part.release}`;
	return part.part === 'compiler' ? `the compiler ${part.command}` : part.part;
}
