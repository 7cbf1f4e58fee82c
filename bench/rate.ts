// SPDX-License-Identifier: Apache-2.0
/**
 * Measures accepted connections per second, with toascope and without. Each round runs all arms one
 * after another, and the order is reversed from round to round:
 *
 *	with	 the programs see both ends of each connection, as on a host that connects to itself
 *	without	 no program of toascope
 *	control	 as `without`: control/without shows how reliable a pair is on this machine
 *	floor	 programs that do nothing on the same hooks: the cost of any program there
 *	server	 the programs see only the server's end, as on a host whose clients are elsewhere
 *	against	 with --against: the programs and the daemon of another version, which see both ends
 */
import { findProgram } from '../test/kit/applications/application.ts';
import { daemonCgroup, startDaemon, untilClosed } from './daemon.ts';
import type { ArmRun } from './daemon_arm.ts';
import { Generator } from './generator.ts';
import type { EndpointCgroups, Load } from './load.ts';
import { watchOtherProcesses } from './machine.ts';
import { NginxLoad } from './nginx_load.ts';
import { type Arm, armsOf, control, type Kind, skippedPart, summarise } from './rate_rows.ts';
import type { Part, Plan } from './result.ts';
import { runRounds } from './rounds.ts';
import type { Sandbox } from './sandbox.ts';
import { Tool } from './tool.ts';

const clients = 1000;
const seconds = 0.4;

/** The cgroup that the daemon is attached to. */
const watched = 'watched';
const cgroupsOf: Readonly<Record<Arm, EndpointCgroups>> = {
	with: { server: watched, client: watched },
	without: { server: 'without', client: 'without' },
	control: { server: 'control', client: 'control' },
	floor: { server: 'floor', client: 'floor' },
	server: { server: watched, client: 'without' },
	against: { server: 'against', client: 'against' },
};

/** A minimal server, with which toascope's share of the cost of a connection is largest. */
export function measureRate(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const kind = { name: 'rate', server: 'lean server', atLeast: 0.965, addsAtMost: 1.2 };
	return measure(sandbox, plan, kind, () => Generator.start(sandbox, clients));
}

/** A server as operators run it. */
export async function measureNginxRate(sandbox: Sandbox, plan: Plan): Promise<Part> {
	const kind = { name: 'rate_nginx', server: 'nginx', atLeast: 0.97 };
	const nginx = findProgram('nginx');
	if (nginx === undefined)
		return skippedPart(kind, 'nginx is neither installed nor available from the package archive');
	const cgroups = [...new Set(armsOf(plan).map((arm) => cgroupsOf[arm].server))];
	return measure(sandbox, plan, kind, () => NginxLoad.start(sandbox, nginx, clients, cgroups));
}

async function measure(sandbox: Sandbox, plan: Plan, kind: Kind, start: () => Promise<Load>): Promise<Part> {
	const arms = armsOf(plan);
	await using daemon = await startDaemon(sandbox, watched);
	await using against = plan.against && (await startDaemon(sandbox, 'against', '', plan.against.program));
	await using _floor = await Tool.start(sandbox, 'toascope-runtime', ['floor', sandbox.cgroup(cgroupsOf.floor.server)]);
	await using load = await start();
	const daemons = [daemon, ...(against === undefined ? [] : [against])];
	const daemonOf = (arm: Arm) => daemons.find((_, index) => cgroupsOf[arm].server === [watched, 'against'][index]);

	/**
	 * The daemons use the same processors as the load, so those that are not measured are stopped.
	 */
	const once = async (arm: Arm): Promise<ArmRun> => {
		for (const each of daemons) each.child.kill(each === daemonOf(arm) ? 'SIGCONT' : 'SIGSTOP');
		const before = sandbox.cpuSeconds(daemonCgroup);
		const run = await load.run(cgroupsOf[arm], { seconds });
		return { ...run, daemonCpuSeconds: sandbox.cpuSeconds(daemonCgroup) - before };
	};

	const othersShare = watchOtherProcesses(sandbox);
	const { warmUp, runs } = await runRounds(plan, kind.name, arms, control, once).finally(() => {
		for (const each of daemons) each.child.kill('SIGCONT');
	});
	const others = othersShare();
	// the counts must be exact: the programs ran in these arms, and in no other
	for (const each of daemons) {
		const seen = arms.filter((arm) => daemonOf(arm) === each).flatMap((arm) => [...warmUp[arm], ...runs[arm]]);
		await untilClosed(
			sandbox,
			each,
			seen.reduce((all, { connections }) => all + connections, 0),
		);
	}
	return summarise(kind, runs, seconds, others, plan.against);
}
