// SPDX-License-Identifier: Apache-2.0
/** Writes profiles and trusted networks to the module's parameters, and reads them back. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Network, networksInclude, parseNetwork } from '../config/cidr.ts';
import type { Config } from '../config/config.ts';
import type { Profile } from '../config/profile.ts';
import { hasAllUses, isCustomProfile, namesVirtualServer } from '../config/profiles.ts';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { KernelLog } from '../host/kernel_log.ts';
import { hostRoots } from '../host/roots.ts';

/** Limit of a message in characters: a list of networks can be long. */
const shownMax = 200;

/** sysfs accepts one page per write, terminator included. */
const pageMax = 4095;

/**
 * Formats profiles as kernel/toa_profiles_param.c reads and shows them. The module delivers only
 * clients: it supports neither `uses` nor the offsets of a virtual server. A custom profile without
 * a client is left out.
 */
export function formatProfiles(profiles: readonly Profile[]): string {
	return profiles
		.filter((profile) => profile.addressAt !== undefined || !isCustomProfile(profile))
		.map((profile) => {
			const { name, kind, length, family, addressAt, portAt, onSyn, priority, pick } = profile;
			const fields = [kind, length, `ipv${family}`, addressAt, portAt ?? '-', ...(onSyn ? ['syn'] : [])];
			const layout = isCustomProfile(profile) ? [name, ...fields].join(':') : name;
			return [
				layout,
				...(priority === 0 ? [] : [`priority=${priority}`]),
				...(pick === undefined ? [] : [`pick=${pick}`]),
			].join('/');
		})
		.join(',');
}

/** Names of the profiles with features that the module lacks: a virtual server, or `uses`. */
export function unsupportedProfiles(profiles: readonly Profile[]): string[] {
	return profiles.filter((one) => namesVirtualServer(one) || !hasAllUses(one)).map(({ name }) => name);
}

/**
 * Splits a list of networks into writes that fit a page. Each write but the last ends with a comma,
 * and the next begins with a comma, which marks it as a continuation.
 */
export function trustWrites(networks: readonly Network[]): string[] {
	const writes: string[] = [];
	let chunk = '';
	for (const { text } of networks) {
		if (chunk.length + text.length + 2 > pageMax) {
			writes.push(chunk);
			chunk = ',';
		}
		chunk += `${text},`;
	}
	return [...writes, `${chunk.replace(/,$/, '')}\n`];
}

/** Limit of `trust` on a command line: an argument has at most 128 KiB (MAX_ARG_STRLEN). */
const argumentMax = 100_000;

/**
 * The arguments to load the module with, so that it never trusts a peer that the configuration does
 * not. A list that is too long is written after loading; until then no peer is trusted.
 */
export function loadArguments({ profiles, trust, sockopt }: Pick<Config, 'profiles' | 'trust' | 'sockopt'>): string[] {
	const networks = trust.map(({ text }) => text).join(',');
	return [
		`profiles=${formatProfiles(profiles)}`,
		...(networks === '' ? [] : [`trust=${networks.length > argumentMax ? '255.255.255.255/32' : networks}`]),
		...(sockopt.ipv4 === 'mapped' ? [] : [`sockopt_ipv4=${sockopt.ipv4}`]),
	];
}

/** Sorts the networks and drops those within another one, as the module does. */
function reduced(networks: readonly Network[]): string[] {
	const order = (one: Network) => Buffer.from([one.family, ...one.address, one.prefixLength]);
	const sorted = networks
		.map((network) => ({ network, order: order(network) }))
		.toSorted((a, b) => Buffer.compare(a.order, b.order));
	const kept: Network[] = [];
	for (const { network } of sorted) {
		const previous = kept.at(-1);
		// a network is sorted before those within it, and no other network comes in between
		if (previous === undefined || !networksInclude([previous], network.family, network.address)) kept.push(network);
	}
	return kept.map(({ text }) => text);
}

/**
 * Whether the networks that the module shows are this list. If the list is longer than a page, the
 * module shows a part and the number of the remaining networks.
 */
export function matchesTrust(shown: string, networks: readonly Network[]): boolean {
	const [, listed = '', more = '0'] = /^(.*?)(?: \.\.\. and (\d+) more)?$/.exec(shown) ?? [];
	const texts = listed === '' ? [] : listed.split(',').map((text) => parseNetwork(text).text);
	const wanted = reduced(networks);
	if (texts.length + Number(more) !== wanted.length) return false;
	const known = new Set(wanted);
	return texts.every((text) => known.has(text));
}

/** The parameters as the module shows them. */
export interface ShownParameters {
	readonly profiles: string;
	readonly trust: string;
	/** Undefined: the module is of an earlier build, which lacks this parameter. */
	readonly sockoptIpv4: string | undefined;
}

/** Puts the configuration in force for the module. Does not write values that are in force. */
export class Parameters {
	readonly #directory: string;
	/** What the module showed when this configuration was last found in force. */
	#inForce: { readonly config: Config; readonly text: string } | undefined;

	constructor({ sys } = hostRoots) {
		this.#directory = join(sys, 'module/toa/parameters');
	}

	/** @throws {ToascopeError} MODULE_REFUSED; the parameter that it names is then unchanged */
	apply({ profiles, trust, sockopt }: Config): void {
		const text = formatProfiles(profiles);
		this.#set('profiles', [text], (shown) => shown === text);
		this.#set('trust', trustWrites(trust), (shown) => matchesTrust(shown, trust));
		// a module of an earlier build lacks this parameter, and behaves as with `mapped`
		if (sockopt.ipv4 !== 'mapped' || this.#has('sockopt_ipv4')) {
			this.#set('sockopt_ipv4', [sockopt.ipv4], (shown) => shown === sockopt.ipv4);
		}
	}

	read(): ShownParameters {
		const shown = (name: string) => readFileSync(join(this.#directory, name), 'utf8').trim();
		const sockoptIpv4 = this.#has('sockopt_ipv4') ? shown('sockopt_ipv4') : undefined;
		return { profiles: shown('profiles'), trust: shown('trust'), sockoptIpv4 };
	}

	/** The parameters that differ from the configuration; undefined: none do. */
	differencesFrom(config: Config): string | undefined {
		const { profiles, trust, sockopt } = config;
		const shown = this.read();
		// called once a second: a list of thousands of networks is compared only after a change
		const text = JSON.stringify(shown);
		if (this.#inForce?.config === config && this.#inForce.text === text) return undefined;
		const differing = [
			...(shown.profiles === formatProfiles(profiles) ? [] : [`profiles=${shown.profiles}`]),
			...(matchesTrust(shown.trust, trust) ? [] : [`trust=${shown.trust}`]),
			...((shown.sockoptIpv4 ?? sockopt.ipv4) === sockopt.ipv4 ? [] : [`sockopt_ipv4=${shown.sockoptIpv4}`]),
		];
		this.#inForce = differing.length === 0 ? { config, text } : undefined;
		return differing.length === 0 ? undefined : differing.join(' ').slice(0, shownMax);
	}

	/**
	 * Restores what read() returned.
	 * @throws {ToascopeError} MODULE_REFUSED, also if that was only a part of a long list
	 */
	restore({ profiles, trust, sockoptIpv4 }: ShownParameters): void {
		this.#set('profiles', [profiles], (shown) => shown === profiles);
		if (sockoptIpv4 !== undefined) this.#set('sockopt_ipv4', [sockoptIpv4], (shown) => shown === sockoptIpv4);
		if (/ \.\.\. and \d+ more$/.test(trust) && trust !== this.read().trust) {
			throw new ToascopeError('MODULE_REFUSED', 'toa.ko showed only a part of the earlier networks', {
				hint: 'they cannot be restored; toascope run with the earlier configuration writes all of them',
			});
		}
		this.#set('trust', [`${trust}\n`], (shown) => shown === trust);
	}

	#has(name: string): boolean {
		return existsSync(join(this.#directory, name));
	}

	#set(name: string, writes: readonly string[], isInForce: (shown: string) => boolean): void {
		const file = join(this.#directory, name);
		let log: KernelLog | undefined;
		try {
			if (isInForce(readFileSync(file, 'utf8').trim())) return;
			log = new KernelLog();
			for (const chunk of writes) writeFileSync(file, chunk);
			const shown = readFileSync(file, 'utf8').trim();
			if (isInForce(shown)) return;
			throw new ToascopeError(
				'MODULE_REFUSED',
				`toa.ko accepted ${name} but shows another value: ${shown.slice(0, 200)}`,
				{
					hint: 'another process writes it too, or the module is of another version',
				},
			);
		} catch (cause) {
			if (cause instanceof ToascopeError) throw cause;
			const kernelLines = log?.lines().join('\n') ?? '';
			throw new ToascopeError('MODULE_REFUSED', `toa.ko refuses ${name}: ${reasonOf(cause)}`, {
				hint: `only root can write ${file}`,
				...(kernelLines === '' ? {} : { detail: kernelLines }),
				cause,
			});
		} finally {
			log?.close();
		}
	}
}
