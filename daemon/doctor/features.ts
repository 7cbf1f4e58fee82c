// SPDX-License-Identifier: Apache-2.0
/** What the kernel takes, found by trying, and what follows: provider, accept program, what applications can ask. */
import { type CompatServer, decidingServers, describeCompatServers } from '../capture/compat_servers.ts';
import type { Features } from '../capture/native.ts';
import type { ProviderName } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { includesPort, ports } from '../config/ports.ts';
import { type Check, check, dueTo, type State } from './check.ts';
import type { Values } from './configuration.ts';
import { type ModuleOutlook, moduleCheck, moduleProfilesCheck } from './module.ts';
import type { RecentJson } from './status.ts';
import { transparentCheck } from './transparent.ts';

interface Feature {
	readonly title: string;
	readonly refused: State;
	readonly advice: string;
}

const vital = 'the bpf provider cannot work without it: the kernel is too old, or was built without it';

/** What follows where the kernel refuses one. Where toascope has another way, that is no fault. */
const table: Readonly<Record<keyof Features, Feature>> = {
	sockops: { title: 'sockops programs', refused: 'fail', advice: vital },
	socketStorage: { title: 'socket storage', refused: 'fail', advice: vital },
	ringbuf: { title: 'ring buffer', refused: 'fail', advice: vital },
	getsockopt: { title: 'getsockopt programs', refused: 'fail', advice: vital },
	getpeername: { title: 'getpeername programs', refused: 'fail', advice: vital },
	setError: {
		title: 'errors from getsockopt programs',
		refused: 'ok',
		advice: 'getsockopt(4096) on a connection without TOA says ENOPROTOOPT, not EINVAL',
	},
	kernelReads: {
		title: 'reads of kernel memory by address',
		refused: 'ok',
		advice:
			'the kernel is locked down (confidentiality): open connections cannot be read, so their bytes are counted when they close, they are in no lookup, and provider module counts nothing',
	},
	taskRegisters: {
		title: 'registers and name of the current task',
		refused: 'ok',
		advice:
			"the name of who accepted is its thread's; getpeername() cannot be told from accept(): without fexit no accept is seen",
	},
	tracingLocks: {
		title: 'locks in iterators and fexit',
		refused: 'ok',
		advice:
			'accepts are observed by getpeername: one without an address buffer (Node.js) is unseen, its owner is the listener',
	},
	listeningSockets: {
		title: 'sockets of processes',
		refused: 'ok',
		advice:
			'accepts that no program saw have no owner; options on the SYN are not read for listeners from before toascope',
	},
	fexit: {
		title: 'fexit programs',
		refused: 'ok',
		advice:
			'accepts are seen by getpeername: one without an address buffer (Node.js) is unseen, its owner is the listener',
	},
	memoryAccounting: {
		title: 'maps counted as memory of a cgroup',
		refused: 'ok',
		advice: 'they count as locked memory: ulimit -l unlimited, or LimitMEMLOCK=infinity for the service',
	},
};

/** What is known of the BPF side: tried here, or told by the daemon that runs. */
export interface Tried {
	readonly features: Features;
	/** What the kernel said to all programs, loaded with small maps; undefined: it took them. */
	readonly refusal: string | undefined;
	readonly by: 'trial' | 'daemon';
}

/** Every feature, but for those that were refused. */
export function featuresBut(refused: Readonly<Record<string, string>>): Features {
	return Object.fromEntries(Object.keys(table).map((name) => [name, refused[name] ?? ''])) as Features;
}

export function featureChecks({ features, refusal, by }: Tried): Check[] {
	const checks = Object.entries(table).map(([name, feature]) => {
		const errno = features[name as keyof Features];
		return errno === ''
			? check(`feature.${name}`, feature.title, 'ok', 'yes')
			: check(`feature.${name}`, feature.title, feature.refused, `refused (${errno})`, feature.advice);
	});
	return [...checks, programs(refusal, by)];
}

function programs(refusal: string | undefined, by: Tried['by']): Check {
	const title = 'Programs and maps';
	if (refusal !== undefined) return check('programs', title, 'fail', refusal, 'the log of toascope run says more');
	const found = by === 'daemon' ? 'the daemon has loaded them' : 'this kernel takes them (tried with small maps)';
	return check('programs', title, 'ok', found);
}

/** Which provider it is, and why. */
export interface Choice {
	/** What is known of BPF; undefined: something before is missing, and nothing could be tried. */
	readonly tried: Tried | undefined;
	readonly module: ModuleOutlook;
	/** What the daemon that runs has taken; undefined: none runs. */
	readonly running: ProviderName | undefined;
	/** Name of the finding that keeps BPF from being tried. */
	readonly cause?: string | undefined;
	/** 32-bit programs that listen on any port. */
	readonly compatServers: readonly CompatServer[];
}

/** `recent`: what a daemon that runs has counted. */
export function choiceChecks(
	{ tried, module, running, cause, compatServers }: Choice,
	values: Values,
	recent?: RecentJson | undefined,
): Check[] {
	const wanted = values.provider as Config['provider'];
	const compat = values['sockopt.enabled'] === 'on' ? watchedOf(compatServers, values) : [];
	const deciding = decidingServers(compat, ports.parse(values['listeners.ports']));
	const forCompat = wanted === 'auto' && tried !== undefined && deciding.length > 0 && module.loaded === true;
	const takes = running ?? (wanted === 'auto' ? (tried === undefined || forCompat ? 'module' : 'bpf') : wanted);
	const because = wanted === 'auto' && tried === undefined ? cause : undefined;
	const about = dueTo(because, moduleCheck(module, takes === 'module'));
	const provider = (state: State, found: string, advice?: string) =>
		check('provider', 'Provider', state, found, advice);
	if (
		running === undefined &&
		!(takes === 'bpf' ? tried !== undefined : wanted === 'auto' ? module.ready : module.works)
	) {
		const none = provider('fail', 'none works here', 'put right what has FAIL');
		return [dueTo(wanted === 'module' ? about.name : cause, none), about];
	}
	const withoutBpf = forCompat ? 'it is loaded, and 32-bit servers need it' : 'bpf does not work here';
	const reason = takes === 'bpf' ? 'it works here' : withoutBpf;
	const why = wanted === 'auto' ? `auto: ${reason}` : 'chosen in the configuration';
	const beyond = takes === 'module' ? moduleProfilesCheck(values) : [];
	const choice = [provider('ok', `${takes} (${why})`), about, ...beyond];
	// without BPF the module answers applications, and that is all
	if (tried === undefined) return choice;
	const unanswered = takes === 'bpf' && compat.length > 0 ? [compatCheck(compat)] : [];
	return [
		...choice,
		acceptProgram(tried),
		getsockopt(tried, values, takes),
		...unanswered,
		transparentCheck(values, recent),
	];
}

function acceptProgram({ features: { fexit, taskRegisters, listeningSockets } }: Tried): Check {
	const title = 'Accept program';
	if (fexit === '')
		return check('accept_program', title, 'ok', 'fexit: accepts are seen, with or without an address buffer');
	const why = `fexit is refused (${fexit})`;
	if (taskRegisters === '') {
		const found = `getpeername, since ${why}: an accept() without an address buffer is unseen`;
		return check('accept_program', title, 'ok', found);
	}
	const found = `none: ${why}, and getpeername cannot be told from accept() (${taskRegisters})`;
	const owners = listeningSockets === '' ? 'owners are the listeners' : 'connections have no owners';
	return check('accept_program', title, 'warn', found, owners);
}

function getsockopt({ features }: Tried, values: Values, provider: ProviderName): Check {
	const title = 'getsockopt(4096)';
	const refused = values['sockopt.ipv4'] === 'refuse' ? ' or with an IPv4 client (sockopt.ipv4)' : '';
	if (provider === 'module')
		return check('getsockopt', title, 'ok', `toa.ko answers; EINVAL for a connection without TOA${refused}`);
	if (values['sockopt.enabled'] === 'off')
		return check('getsockopt', title, 'ok', 'off in the configuration (sockopt)');
	const error = features.setError === '' ? 'EINVAL' : 'ENOPROTOOPT';
	return check('getsockopt', title, 'ok', `works; ${error} for a connection without TOA${refused}`);
}

function watchedOf(servers: readonly CompatServer[], values: Values): CompatServer[] {
	const watched = ports.parse(values['listeners.ports']);
	return servers.flatMap((server) => {
		const own = server.ports.filter((port) => includesPort(watched, port));
		return own.length === 0 ? [] : [{ ...server, ports: own }];
	});
}

function compatCheck(servers: readonly CompatServer[]): Check {
	const why = 'the kernel runs no program for their getsockopt(4096), which fails (ENOPROTOOPT)';
	const advice = 'set provider to module, which answers them, or build them for 64 bits; transparent works for them';
	return check('compat_servers', '32-bit servers', 'warn', `${describeCompatServers(servers)}: ${why}`, advice);
}
