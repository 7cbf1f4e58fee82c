// SPDX-License-Identifier: Apache-2.0
/** Profiles and trusted networks as the module's parameters: written, and read back. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Network, networksInclude, parseNetwork } from '../config/cidr.ts';
import type { Config } from '../config/config.ts';
import { isOwn, namesVirtualServer, type Profile, servesAll } from '../config/profiles.ts';
import { reasonOf } from '../directories.ts';
import { ToascopeError } from '../errors.ts';
import { KernelLog } from './kernel_log.ts';
import { hostRoots } from './roots.ts';

/** Characters of a message; a list of networks may be long. */
const shownMax = 200;

/** sysfs takes a page in one write, its end included. */
const pageMax = 4095;

/**
 * As kernel/toa_profiles.c reads it and shows it. The module gives clients alone: it takes no uses and no place of a virtual
 * server, and an own profile that names no client is left out.
 */
export function formatProfiles(profiles: readonly Profile[]): string {
	return profiles
		.filter((profile) => profile.addressAt !== undefined || !isOwn(profile))
		.map((profile) => {
			const { name, kind, length, family, addressAt, portAt, onSyn, priority, pick } = profile;
			const own = [kind, length, `ipv${family}`, addressAt, portAt ?? '-', ...(onSyn ? ['syn'] : [])];
			const layout = isOwn(profile) ? [name, ...own].join(':') : name;
			return [
				layout,
				...(priority === 0 ? [] : [`priority=${priority}`]),
				...(pick === undefined ? [] : [`pick=${pick}`]),
			].join('/');
		})
		.join(',');
}

/** Names of the profiles that say more than the module does: it tells no virtual server, and knows no uses. */
export function beyondModule(profiles: readonly Profile[]): string[] {
	return profiles.filter((one) => namesVirtualServer(one) || !servesAll(one)).map(({ name }) => name);
}

/** The writes that a list of networks takes: each but the last ends with a comma, and the next, which goes on, begins with one. */
export function trustWrites(networks: readonly Network[]): string[] {
	const writes: string[] = [];
	let piece = '';
	for (const { text } of networks) {
		if (piece.length + text.length + 2 > pageMax) {
			writes.push(piece);
			piece = ',';
		}
		piece += `${text},`;
	}
	return [...writes, `${piece.replace(/,$/, '')}\n`];
}

/** An argument of a command is at most 128 KiB (MAX_ARG_STRLEN). */
const argumentMax = 100_000;

/**
 * What the module is loaded with, so that it never believes a sender that the configuration does not. A list that is
 * too long follows later; until then nobody is believed.
 */
export function loadArguments({ profiles, trust, sockopt }: Pick<Config, 'profiles' | 'trust' | 'sockopt'>): string[] {
	const networks = trust.map(({ text }) => text).join(',');
	return [
		`profiles=${formatProfiles(profiles)}`,
		...(networks === '' ? [] : [`trust=${networks.length > argumentMax ? '255.255.255.255/32' : networks}`]),
		...(sockopt.ipv4 === 'mapped' ? [] : [`sockopt_ipv4=${sockopt.ipv4}`]),
	];
}

/** Sorted, without those that lie within another, as the module keeps them. */
function reduced(networks: readonly Network[]): string[] {
	const order = (one: Network) => Buffer.from([one.family, ...one.address, one.prefixLength]);
	const sorted = networks
		.map((network) => ({ network, order: order(network) }))
		.toSorted((a, b) => Buffer.compare(a.order, b.order));
	const kept: Network[] = [];
	for (const { network } of sorted) {
		const before = kept.at(-1);
		// one that holds another comes before it, and nothing that it does not hold comes between
		if (before === undefined || !networksInclude([before], network.family, network.address)) kept.push(network);
	}
	return kept.map(({ text }) => text);
}

/** Whether what the module shows of its networks is this list. Of one longer than a page it shows a part, and how many more. */
export function isTrust(shown: string, networks: readonly Network[]): boolean {
	const [, listed = '', more = '0'] = /^(.*?)(?: \.\.\. and (\d+) more)?$/.exec(shown) ?? [];
	const texts = listed === '' ? [] : listed.split(',').map((text) => parseNetwork(text).text);
	const wanted = reduced(networks);
	if (texts.length + Number(more) !== wanted.length) return false;
	const known = new Set(wanted);
	return texts.every((text) => known.has(text));
}

/** As the module shows them. */
export interface Shown {
	readonly profiles: string;
	readonly trust: string;
	/** Undefined: the module has no such parameter, it is of an earlier build. */
	readonly sockoptIpv4: string | undefined;
}

/** Puts the configuration in force for the module; what is in force already is left alone. */
export class Parameters {
	readonly #directory: string;
	/** What was shown when this configuration was last found in force. */
	#inForce: { readonly config: Config; readonly text: string } | undefined;

	constructor({ sys } = hostRoots) {
		this.#directory = join(sys, 'module/toa/parameters');
	}

	/** @throws {ToascopeError} MODULE_REFUSED; then the parameter that it names is as it was */
	apply({ profiles, trust, sockopt }: Config): void {
		const text = formatProfiles(profiles);
		this.#set('profiles', [text], (shown) => shown === text);
		this.#set('trust', trustWrites(trust), (shown) => isTrust(shown, trust));
		// one of an earlier build has no such parameter, and answers as `mapped` has it
		if (sockopt.ipv4 !== 'mapped' || this.#has('sockopt_ipv4')) {
			this.#set('sockopt_ipv4', [sockopt.ipv4], (shown) => shown === sockopt.ipv4);
		}
	}

	read(): Shown {
		const shown = (name: string) => readFileSync(join(this.#directory, name), 'utf8').trim();
		const sockoptIpv4 = this.#has('sockopt_ipv4') ? shown('sockopt_ipv4') : undefined;
		return { profiles: shown('profiles'), trust: shown('trust'), sockoptIpv4 };
	}

	/** What is in force in another way than the configuration has it; undefined: nothing is. */
	otherThan(config: Config): string | undefined {
		const { profiles, trust, sockopt } = config;
		const shown = this.read();
		// asked once a second: a list of thousands of networks is compared when something has changed
		const text = JSON.stringify(shown);
		if (this.#inForce?.config === config && this.#inForce.text === text) return undefined;
		const wrong = [
			...(shown.profiles === formatProfiles(profiles) ? [] : [`profiles=${shown.profiles}`]),
			...(isTrust(shown.trust, trust) ? [] : [`trust=${shown.trust}`]),
			...((shown.sockoptIpv4 ?? sockopt.ipv4) === sockopt.ipv4 ? [] : [`sockopt_ipv4=${shown.sockoptIpv4}`]),
		];
		this.#inForce = wrong.length === 0 ? { config, text } : undefined;
		return wrong.length === 0 ? undefined : wrong.join(' ').slice(0, shownMax);
	}

	/** Puts back what read() gave. @throws {ToascopeError} MODULE_REFUSED, also where that was a part of a long list */
	restore({ profiles, trust, sockoptIpv4 }: Shown): void {
		this.#set('profiles', [profiles], (shown) => shown === profiles);
		if (sockoptIpv4 !== undefined) this.#set('sockopt_ipv4', [sockoptIpv4], (shown) => shown === sockoptIpv4);
		if (/ \.\.\. and \d+ more$/.test(trust) && trust !== this.read().trust) {
			throw new ToascopeError('MODULE_REFUSED', 'the networks before were more than toa.ko shows', {
				hint: 'toascope run with their configuration writes them all',
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
			for (const piece of writes) writeFileSync(file, piece);
			const shown = readFileSync(file, 'utf8').trim();
			if (isInForce(shown)) return;
			throw new ToascopeError(
				'MODULE_REFUSED',
				`toa.ko took ${name}, and shows something else: ${shown.slice(0, 200)}`,
				{
					hint: 'another process writes it as well, or the module is of another version',
				},
			);
		} catch (cause) {
			if (cause instanceof ToascopeError) throw cause;
			const said = log?.lines().join('\n') ?? '';
			throw new ToascopeError('MODULE_REFUSED', `toa.ko refuses ${name}: ${reasonOf(cause)}`, {
				hint: `${file} can be written by root alone`,
				...(said === '' ? {} : { detail: said }),
				cause,
			});
		} finally {
			log?.close();
		}
	}
}
