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
 *	against	 with --against: the programs and the daemon of another version, which see both ends
 */
import { findProgram } from '../test/fixtures/applications/application.ts';
import { daemonPlace, startDaemon, whenClosed } from './daemon.ts';
import type { ArmRun } from './daemon_arm.ts';
import { Generator } from './generator.ts';
import type { Ground } from './ground.ts';
import type { Load, Places } from './load.ts';
import { watchOthers } from './machine.ts';
import { NginxLoad } from './nginx_load.ts';
import { type Arm, armsOf, control, type Kind, leaveOut, summarise } from './rate_rows.ts';
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
	against: { server: 'against', client: 'against' },
};

/** The leanest server that there can be: toascope's share of a connection is never larger. */
export function measureRate(ground: Ground, plan: Plan): Promise<Part> {
	const kind = { name: 'rate', server: 'lean server', atLeast: 0.965, addsAtMost: 1.2 };
	return measure(ground, plan, kind, () => Generator.start(ground, clients));
}

/** A server as operators have it. */
export async function measureNginxRate(ground: Ground, plan: Plan): Promise<Part> {
	const kind = { name: 'rate_nginx', server: 'nginx', atLeast: 0.97 };
	const nginx = findProgram('nginx');
	if (nginx === undefined) return leaveOut(kind, 'no nginx on this machine, nor from its package archive');
	const cgroups = [...new Set(armsOf(plan).map((arm) => places[arm].server))];
	return measure(ground, plan, kind, () => NginxLoad.start(ground, nginx, clients, cgroups));
}

async function measure(ground: Ground, plan: Plan, kind: Kind, start: () => Promise<Load>): Promise<Part> {
	const arms = armsOf(plan);
	await using daemon = await startDaemon(ground, watched);
	await using against = plan.against && (await startDaemon(ground, 'against', '', plan.against.program));
	await using _floor = await Tool.start(ground, 'toascope-runtime', ['floor', ground.cgroup(places.floor.server)]);
	await using load = await start();
	const daemons = [daemon, ...(against === undefined ? [] : [against])];
	const daemonOf = (arm: Arm) => daemons.find((_, index) => places[arm].server === [watched, 'against'][index]);

	/** The daemons work on the same processors: without one means that it stands still, too. */
	const once = async (arm: Arm): Promise<ArmRun> => {
		for (const each of daemons) each.child.kill(each === daemonOf(arm) ? 'SIGCONT' : 'SIGSTOP');
		const before = ground.cpuSeconds(daemonPlace);
		const run = await load.run(places[arm], { seconds });
		return { ...run, daemonCpuSeconds: ground.cpuSeconds(daemonPlace) - before };
	};

	const othersShare = watchOthers(ground);
	const { warmUp, runs } = await runRounds(plan, kind.name, arms, control, once).finally(() => {
		for (const each of daemons) each.child.kill('SIGCONT');
	});
	const others = othersShare();
	// no fewer and no more: the programs ran in these arms, and in no other
	for (const each of daemons) {
		const seen = arms.filter((arm) => daemonOf(arm) === each).flatMap((arm) => [...warmUp[arm], ...runs[arm]]);
		await whenClosed(
			ground,
			each,
			seen.reduce((all, { connections }) => all + connections, 0),
		);
	}
	return summarise(kind, runs, seconds, others, plan.against);
}
