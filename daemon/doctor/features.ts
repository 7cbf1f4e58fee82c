// SPDX-License-Identifier: Apache-2.0
/** What the kernel takes, found by trying, and what follows: provider, accept program, what applications can ask. */
import type { Features, Probed } from '../capture/native.ts';
import type { Config } from '../config/config.ts';
import { type Check, check, type State } from './check.ts';

interface Feature {
	readonly title: string;
	readonly refused: State;
	readonly advice: string;
}

const vital = 'the bpf provider cannot work without it: the kernel is too old, or was built without it';

/** What follows where the kernel refuses one. */
const table: Readonly<Record<keyof Features, Feature>> = {
	sockops: { title: 'sockops programs', refused: 'fail', advice: vital },
	socketStorage: { title: 'Socket storage', refused: 'fail', advice: vital },
	ringbuf: { title: 'Ring buffer', refused: 'fail', advice: vital },
	getsockopt: {
		title: 'getsockopt programs',
		refused: 'fail',
		advice: vital,
	},
	getpeername: {
		title: 'getpeername programs',
		refused: 'fail',
		advice: vital,
	},
	setError: {
		title: 'getsockopt errors',
		refused: 'warn',
		advice: 'getsockopt(4096) on a connection without TOA says ENOPROTOOPT, not EINVAL',
	},
	taskRegisters: {
		title: 'Task registers',
		refused: 'warn',
		advice: 'getpeername() cannot be told from accept(): it is no accept program',
	},
	fexit: {
		title: 'fexit programs',
		refused: 'warn',
		advice:
			'accepts are seen by getpeername: one without an address buffer (Node.js) is unseen, its owner is the listener',
	},
	memoryAccounting: {
		title: 'Memory of maps',
		refused: 'warn',
		advice: 'it counts as locked memory: ulimit -l unlimited, or LimitMEMLOCK=infinity for the service',
	},
};

/** What was tried of the BPF side. */
export interface Tried {
	readonly probed: Probed;
	/** What the kernel said to all programs, loaded with the configuration's sizes; undefined: it took them. */
	readonly refusal: string | undefined;
}

export function featureChecks({ probed, refusal }: Tried): Check[] {
	const features = Object.entries(table).map(([name, feature]) => {
		const errno = probed.features[name as keyof Features];
		return errno === ''
			? check(`feature.${name}`, feature.title, 'ok', 'yes')
			: check(`feature.${name}`, feature.title, feature.refused, `refused (${errno})`, feature.advice);
	});
	const programs =
		refusal === undefined
			? check('programs', 'Programs and maps', 'ok', 'the kernel loads all of them, in the sizes of the configuration')
			: check('programs', 'Programs and maps', 'fail', refusal, 'lower the sizes for ENOMEM; else report this line');
	return [...features, programs];
}

/** `runs` is false where something before is missing. */
export function choiceChecks(tried: Tried | undefined, config: Config, runs: boolean): Check[] {
	if (config.provider === 'module') {
		const advice = 'set provider to auto or bpf';
		return [check('provider', 'Provider', 'fail', 'module: this version has none', advice)];
	}
	if (tried === undefined || !runs) {
		return [check('provider', 'Provider', 'fail', 'none works here', 'put right what has FAIL above')];
	}
	const why = config.provider === 'bpf' ? 'chosen in the configuration' : 'auto: it works here';
	return [
		check('provider', 'Provider', 'ok', `bpf (${why})`),
		acceptProgram(tried),
		getsockopt(tried, config),
		transparent(config),
	];
}

function acceptProgram({ probed }: Tried): Check {
	const found =
		probed.features.fexit === ''
			? 'fexit: accepts are seen, with or without an address buffer'
			: 'getpeername, since fexit is refused';
	return check('accept_program', 'Accept program', 'ok', found);
}

function getsockopt({ probed }: Tried, config: Config): Check {
	const title = 'getsockopt(4096)';
	if (!config.sockopt) return check('getsockopt', title, 'ok', 'off in the configuration (sockopt)');
	const error = probed.features.setError === '' ? 'EINVAL' : 'ENOPROTOOPT';
	return check('getsockopt', title, 'ok', `works; ${error} for a connection without TOA`);
}

function transparent({ transparent: { enabled, ports } }: Config): Check {
	const title = 'Transparent addresses';
	const found = !enabled
		? 'off in the configuration (transparent): accept() and getpeername() are unchanged'
		: `on${ports === 'all' ? '' : ' for some local ports'}: accept() and getpeername() give the client`;
	return check('transparent', title, 'ok', found);
}
