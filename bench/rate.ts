// SPDX-License-Identifier: Apache-2.0
/**
 * Accepted connections per second with toascope against without. Each round runs its arms next
 * to each other, in turns forwards and backwards:
 *
 *	with	 the programs see both ends of each connection, as on any host that talks to itself
 *	without	 no program of ours
 *	control	 the same once more: control/without tells what a pair is worth on this machine
 *	floor	 programs that do nothing on the same hooks: what any program there costs
 *	server	 the programs see the server's end alone, as on a host whose clients are elsewhere
 */
import { findProgram } from '../test/fixtures/applications/application.ts';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import type { Load, Places } from './load.ts';
import { watchOthers } from './machine.ts';
import { NginxLoad } from './nginx_load.ts';
import { type Arm, type ArmRun, arms, control, leaveOut, summarise } from './rate_rows.ts';
import type { Part, Plan } from './result.ts';
import { runRounds } from './rounds.ts';
import { Tool } from './tool.ts';

const clients = 1000;
const seconds = 0.4;

/** The cgroup that the daemon is attached to. */
const watched = 'watched';
const places: Readonly<Record<Arm, Places>> = {
	with: { server: watched, client: watched },
	without: { server: 'without', client: 'without' },
	control: { server: 'control', client: 'control' },
	floor: { server: 'floor', client: 'floor' },
	server: { server: watched, client: 'without' },
};

/** The leanest server that there can be: toascope's share of a connection is never larger. */
export function measureRate(ground: Ground, plan: Plan): Promise<Part> {
	return measure(ground, plan, { name: 'rate', server: 'lean server' }, () => Generator.start(ground, clients));
}

/** A server as operators have it. */
export async function measureNginxRate(ground: Ground, plan: Plan): Promise<Part> {
	const kind = { name: 'rate_nginx', server: 'nginx' };
	const nginx = findProgram('nginx');
	if (nginx === undefined) return leaveOut(kind, 'no nginx on this machine, nor from its package archive');
	const cgroups = [...new Set(arms.map((arm) => places[arm].server))];
	return measure(ground, plan, kind, () => NginxLoad.start(ground, nginx, clients, cgroups));
}

async function measure(
	ground: Ground,
	plan: Plan,
	kind: { readonly name: string; readonly server: string },
	start: () => Promise<Load>,
): Promise<Part> {
	await using daemon = await startDaemon(ground, watched);
	await using _floor = await Tool.start(ground, 'toascope-runtime', ['floor', ground.cgroup(places.floor.server)]);
	await using load = await start();

	/** The daemon works on the same processors: without it means that it stands still, too. */
	const once = async (arm: Arm): Promise<ArmRun> => {
		daemon.child.kill(places[arm].server === watched ? 'SIGCONT' : 'SIGSTOP');
		const before = ground.cpuSeconds(daemonPlace);
		const run = await load.run(places[arm], { seconds });
		return { ...run, daemonCpuSeconds: ground.cpuSeconds(daemonPlace) - before };
	};

	const othersShare = watchOthers(ground);
	const { warmUp, runs } = await runRounds(plan, kind.name, arms, control, once).finally(() =>
		daemon.child.kill('SIGCONT'),
	);
	const others = othersShare();
	// no fewer and no more: the programs ran in these arms, and in no other
	const seen = [warmUp, runs].flatMap((each) => [...each.with, ...each.server]);
	await whenClosed(
		ground,
		daemon,
		seen.reduce((all, { connections }) => all + connections, 0),
	);
	return summarise(kind, runs, seconds, others);
}
