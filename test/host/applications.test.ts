// SPDX-License-Identifier: Apache-2.0
/**
 * Servers without support for TOA, each on every kind of listener: the address that they see and
 * log with `transparent` and without it, and the process that the daemon reports as the one that
 * accepted. docs/applications.md is generated from the same observations.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { formatDocument } from '../../scripts/documents.ts';
import { type Application, findProgram } from '../kit/applications/application.ts';
import { applications, Matrix, type NamedEnd, type Option, options } from '../kit/applications/matrix.ts';
import { type Cell, pagePath, renderPage, type Transparent, transparencies } from '../kit/applications/page.ts';
import { Daemon } from '../kit/daemon/daemon.ts';
import { noToaErrno } from '../kit/wire/no_toa_error.ts';
import { type AddressPort, ipv4Of, type Listener, listeners } from '../kit/wire/toa_stage.ts';

const connections = 3;

let matrix: Matrix;
const cells: Cell[] = [];

beforeAll(async () => {
	matrix = await Matrix.open();
});
afterAll(async () => {
	await matrix?.[Symbol.asyncDispose]();
});

/** The address that getpeername() must return: the table of the contract. */
function peerName(listener: Listener, transparent: Transparent, option: Option): NamedEnd {
	const mapped = listener === 'AF_INET' ? '' : '::ffff:';
	if (transparent === 'off' || option === 'none') return `${mapped}balancer`;
	if (option === 'IPv4') return `${mapped}client`;
	return listener === 'AF_INET' ? 'balancer' : 'client';
}

const sockopt = { IPv6: 'client', IPv4: '::ffff:client', none: noToaErrno } as const;

/** The client as the daemon reports it: an IPv4 address is not mapped. */
function knownClient(option: Option, { address, port }: AddressPort): AddressPort | null {
	if (option === 'none') return null;
	return { address: option === 'IPv4' ? ipv4Of(address) : address, port };
}

const unmapped = (name: NamedEnd): NamedEnd => name.replace('::ffff:', '') as NamedEnd;

const cases = listeners.flatMap((listener) =>
	(Object.keys(options) as Option[]).map((option) => [listener, option] as const),
);

describe.each(transparencies)('transparent %s', (transparent) => {
	let daemon: Daemon;
	let acceptProgram: string;

	beforeAll(async () => {
		daemon = await Daemon.start({ config: matrix.config(transparent) });
		({ accept_program: acceptProgram } = await daemon.json<{ accept_program: string }>('/v1/status'));
	});
	afterAll(async () => {
		await daemon.stop();
	});

	const seen = ({ acceptsSilently = false }: Application) =>
		acceptsSilently && acceptProgram !== 'fexit' ? 'unseen' : acceptProgram;

	describe.each(applications.map((application) => [application.name, application] as const))('%s', (_, application) => {
		it.for(cases)('%s, TOA: %s', async ([listener, option], { skip }) => {
			if (findProgram(application.program) === undefined) return skip(`no ${application.program} here`);
			const observations = await matrix.observe(daemon, application, listener, option, connections);
			cells.push({ application, listener, transparent, option, observations });
			expect(observations).toHaveLength(connections);
			const name = peerName(listener, transparent, option);
			for (const observation of observations) {
				expect(observation).toMatchObject({
					getpeername: name,
					logged: application.logsUnmapped ? unmapped(name) : name,
					sockopt: sockopt[option],
					daemonView: {
						client: knownClient(option, observation.client),
						verdict: option === 'none' ? 'none' : 'toa',
						profile: option === 'none' ? null : options[option],
						seen: seen(application),
						process: {
							pid: observation.servedBy,
							comm: observation.comm,
							by: seen(application) === 'unseen' ? 'listener' : 'accept',
						},
					},
				});
			}
		});
	});
});

it('docs/applications.md agrees with what these servers did', async ({ skip }) => {
	const absent = applications.filter(({ program }) => findProgram(program) === undefined);
	const page = readFileSync(pagePath, 'utf8');
	// versions differ between machines: those on the page are kept
	expect(await formatDocument(renderPage(cells, page, () => undefined))).toBe(page);
	if (absent.length > 0) skip(`compared without ${absent.map(({ name }) => name).join('; ')}: not installed here`);
});
