// SPDX-License-Identifier: Apache-2.0
/**
 * The kernel's features, found by probing, and what follows from them: the provider, the accept
 * program, and what applications can query.
 */

import type { Features } from '../../native/binding.ts';
import type { RecentJson } from '../api/status.ts';
import type { ProviderName } from '../capture/provider.ts';
import type { Config } from '../config/config.ts';
import { includesPort, ports } from '../config/ports.ts';
import { type CompatServer, describeCompatServers, serversThatDecideProvider } from '../host/compat_servers.ts';
import { type Check, causedBy, check, type State } from './check.ts';
import type { Values } from './configuration.ts';
import { type ModuleForecast, moduleCheck, moduleProfilesCheck } from './module.ts';
import { transparentCheck } from './transparent.ts';

interface Feature {
	readonly title: string;
	/** State of the finding when the kernel refuses the feature. */
	readonly refused: State;
	readonly advice: string;
}

const vital = 'the bpf provider cannot work without it: the kernel is too old, or was built without it';
const acceptByGetpeername =
	"accepts are observed through getpeername: an accept() without an address buffer (Node.js) is unobserved, and the connection's owner is the listening process";

/** What follows when the kernel refuses a feature. State `ok`: toascope has a fallback. */
const table: Readonly<Record<keyof Features, Feature>> = {
	sockops: { title: 'sockops programs', refused: 'fail', advice: vital },
	socketStorage: { title: 'socket storage', refused: 'fail', advice: vital },
	ringbuf: { title: 'ring buffer', refused: 'fail', advice: vital },
	getsockopt: { title: 'getsockopt programs', refused: 'fail', advice: vital },
	getpeername: { title: 'getpeername programs', refused: 'fail', advice: vital },
	setError: {
		title: 'errors from getsockopt programs',
		refused: 'ok',
		advice: 'getsockopt(4096) on a connection without TOA fails with ENOPROTOOPT instead of EINVAL',
	},
	kernelReads: {
		title: 'reads of kernel memory by address',
		refused: 'ok',
		advice:
			'the kernel is locked down (confidentiality): open connections cannot be read, so their bytes are counted only when they close, lookups do not find them, and the provider module counts nothing',
	},
	taskRegisters: {
		title: 'registers and name of the current task',
		refused: 'ok',
		advice:
			"the accepting process is shown under its thread's name; getpeername() cannot be distinguished from accept(), so without fexit no accept is observed",
	},
	tracingLocks: {
		title: 'locks in iterators and fexit',
		refused: 'ok',
		advice: acceptByGetpeername,
	},
	listeningSockets: {
		title: 'sockets of processes',
		refused: 'ok',
		advice:
			'connections whose accept was unobserved have no owner; options on the SYN are not read for listeners older than the daemon',
	},
	fexit: {
		title: 'fexit programs',
		refused: 'ok',
		advice: acceptByGetpeername,
	},
	memoryAccounting: {
		title: 'cgroup accounting of map memory',
		refused: 'ok',
		advice: 'maps count as locked memory: set ulimit -l unlimited, or LimitMEMLOCK=infinity for the service',
	},
};

/** What is known about BPF: probed here, or reported by the running daemon. */
export interface ProbeResult {
	readonly features: Features;
	/** The kernel's error for all programs, loaded with small maps; undefined: it accepted them. */
	readonly refusal: string | undefined;
	readonly by: 'trial' | 'daemon';
}

/** The result of a probe in which only these features were refused. */
export function featuresExcept(refused: Readonly<Record<string, string>>): Features {
	return Object.fromEntries(Object.keys(table).map((name) => [name, refused[name] ?? ''])) as Features;
}

export function featureChecks({ features, refusal, by }: ProbeResult): Check[] {
	const checks = Object.entries(table).map(([name, feature]) => {
		const errno = features[name as keyof Features];
		return errno === ''
			? check(`feature.${name}`, feature.title, 'ok', 'yes')
			: check(`feature.${name}`, feature.title, feature.refused, `refused (${errno})`, feature.advice);
	});
	return [...checks, programs(refusal, by)];
}

function programs(refusal: string | undefined, by: ProbeResult['by']): Check {
	const title = 'Programs and maps';
	if (refusal !== undefined) return check('programs', title, 'fail', refusal, 'see the log of toascope run');
	const found = by === 'daemon' ? 'the daemon has loaded them' : 'this kernel accepts them (tried with small maps)';
	return check('programs', title, 'ok', found);
}

/** What decides the provider. */
export interface ProviderFacts {
	/** What is known about BPF; undefined: a prerequisite is missing, so it was not probed. */
	readonly tried: ProbeResult | undefined;
	readonly module: ModuleForecast;
	/** The provider of the running daemon; undefined: none runs. */
	readonly running: ProviderName | undefined;
	/** Name of the finding that prevents the probe of BPF. */
	readonly cause?: string | undefined;
	/** 32-bit programs that listen, on whichever port. */
	readonly compatServers: readonly CompatServer[];
}

/** `recent`: the latest counts of the running daemon. */
export function choiceChecks(
	{ tried, module, running, cause, compatServers }: ProviderFacts,
	values: Values,
	recent?: RecentJson | undefined,
): Check[] {
	const wanted = values.provider as Config['provider'];
	const compat = values['sockopt.enabled'] === 'on' ? watchedOf(compatServers, values) : [];
	const deciding = serversThatDecideProvider(compat, ports.parse(values['listeners.ports']));
	const forCompat = wanted === 'auto' && tried !== undefined && deciding.length > 0 && module.loaded === true;
	const chosen = running ?? (wanted === 'auto' ? (tried === undefined || forCompat ? 'module' : 'bpf') : wanted);
	const because = wanted === 'auto' && tried === undefined ? cause : undefined;
	const moduleFinding = causedBy(because, moduleCheck(module, chosen === 'module'));
	const provider = (state: State, found: string, advice?: string) =>
		check('provider', 'Provider', state, found, advice);
	if (
		running === undefined &&
		!(chosen === 'bpf' ? tried !== undefined : wanted === 'auto' ? module.ready : module.works)
	) {
		const none = provider('fail', 'no provider works here', 'fix the findings marked FAIL');
		return [causedBy(wanted === 'module' ? moduleFinding.name : cause, none), moduleFinding];
	}
	const withoutBpf = forCompat ? 'it is loaded, and 32-bit servers need it' : 'bpf does not work here';
	const reason = chosen === 'bpf' ? 'it works here' : withoutBpf;
	const why = wanted === 'auto' ? `auto: ${reason}` : 'chosen in the configuration';
	const unsupported = chosen === 'module' ? moduleProfilesCheck(values) : [];
	const choice = [provider('ok', `${chosen} (${why})`), moduleFinding, ...unsupported];
	// without BPF the module only answers applications
	if (tried === undefined) return choice;
	const unanswered = chosen === 'bpf' && compat.length > 0 ? [compatCheck(compat)] : [];
	return [
		...choice,
		acceptProgram(tried),
		getsockopt(tried, values, chosen),
		...unanswered,
		transparentCheck(values, recent),
	];
}

function acceptProgram({ features: { fexit, taskRegisters, listeningSockets } }: ProbeResult): Check {
	const title = 'Accept program';
	if (fexit === '')
		return check('accept_program', title, 'ok', 'fexit: accepts are observed, with or without an address buffer');
	const why = `fexit is refused (${fexit})`;
	if (taskRegisters === '') {
		const found = `getpeername, since ${why}: an accept() without an address buffer is unobserved`;
		return check('accept_program', title, 'ok', found);
	}
	const found = `none: ${why}, and getpeername() cannot be distinguished from accept() (${taskRegisters})`;
	const owners = listeningSockets === '' ? 'the owner is the listening process' : 'connections have no owner';
	return check('accept_program', title, 'warn', found, owners);
}

function getsockopt({ features }: ProbeResult, values: Values, provider: ProviderName): Check {
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
	const why = 'the kernel runs no BPF program for their getsockopt(4096), which fails (ENOPROTOOPT)';
	const advice =
		'set provider to module, which answers them, or build them for 64 bits; transparent works for them as it is';
	return check('compat_servers', '32-bit servers', 'warn', `${describeCompatServers(servers)}: ${why}`, advice);
}
