// SPDX-License-Identifier: Apache-2.0
/**
 * Servers that know nothing of TOA, each on every kind of listener: whom they name with `transparent` and without, and whom the
 * daemon holds for the process that accepted. DESIGN.md, section 5; docs/applications.md is made from the same.
 */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Application, findProgram } from '../fixtures/applications/application.ts';
import { applications, Matrix, type Named, type Option, options } from '../fixtures/applications/matrix.ts';
import { type Cell, pagePath, renderPage, type Transparent, transparencies } from '../fixtures/applications/page.ts';
import { Daemon } from '../fixtures/daemon.ts';
import { noToaErrno } from '../fixtures/no_toa_error.ts';
import { ipv4Of, type Listener, listeners, type Place } from '../fixtures/stage.ts';

const connections = 3;

let matrix: Matrix;
const cells: Cell[] = [];

beforeAll(async () => {
	matrix = await Matrix.open();
});
afterAll(async () => {
	await matrix?.[Symbol.asyncDispose]();
});

/** What getpeername() is to name: the table of section 5. */
function peerName(listener: Listener, transparent: Transparent, option: Option): Named {
	const mapped = listener === 'AF_INET' ? '' : '::ffff:';
	if (transparent === 'off' || option === 'none') return `${mapped}balancer`;
	if (option === 'IPv4') return `${mapped}client`;
	return listener === 'AF_INET' ? 'balancer' : 'client';
}

const sockopt = { IPv6: 'client', IPv4: '::ffff:client', none: noToaErrno } as const;

/** As the daemon has it: IPv4 is IPv4. */
function knownClient(option: Option, { address, port }: Place): Place | null {
	if (option === 'none') return null;
	return { address: option === 'IPv4' ? ipv4Of(address) : address, port };
}

const unmapped = (name: Named): Named => name.replace('::ffff:', '') as Named;

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
					logged: application.unmaps ? unmapped(name) : name,
					sockopt: sockopt[option],
					known: {
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

it('docs/applications.md says what these servers did', ({ skip }) => {
	const absent = applications.filter(({ program }) => findProgram(program) === undefined);
	const page = readFileSync(pagePath, 'utf8');
	// versions differ from machine to machine: those of the page stand
	expect(renderPage(cells, page, () => undefined)).toBe(page);
	if (absent.length > 0) skip(`compared but for ${absent.map(({ name }) => name).join('; ')}: not here`);
});
