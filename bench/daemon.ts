// SPDX-License-Identifier: Apache-2.0
/** The real daemon, `toascope run`, as the bench uses it: default settings, the environment of its systemd unit, one cgroup. */
import { ToascopeError } from '../daemon/errors.ts';
import { hasEnded } from '../daemon/lab/process.ts';
import { Daemon } from '../test/fixtures/daemon.ts';
import { type Sample, total } from '../test/fixtures/metrics.ts';
import { unitEnvironment } from '../test/fixtures/unit_environment.ts';
import type { Ground } from './ground.ts';

/** The cgroup that the daemon itself runs in. */
export const daemonPlace = 'daemon';

/** The daemon looks once a second; where a look takes long, a pause of 20 times as long follows. */
const countedMs = 120_000;

/** As it is published. */
const published = new URL('../dist/daemon/main.js', import.meta.url).pathname;

/** Attached to that cgroup of the bench; `more` is YAML; `program`: of another tree. */
export async function startDaemon(
	ground: Ground,
	cgroup: string,
	more = '',
	program: string = published,
): Promise<Daemon> {
	ground.signal.throwIfAborted();
	const daemon = await Daemon.start({
		config: `cgroup: ${ground.cgroup(cgroup)}\nlog: {format: json}\n${more}`,
		program,
		env: unitEnvironment,
		parent: ground.scratch,
		through: ground.mortal,
	});
	// its processor time is the bench's from here on
	ground.move(daemon.child, daemonPlace);
	return daemon;
}

/**
 * The samples once the daemon has seen that many connections close, no fewer and no more.
 * @throws {ToascopeError} LAB_FAILED when it has not
 */
export function whenClosed(ground: Ground, daemon: Daemon, connections: number): Promise<Sample[]> {
	return whenShown(ground, daemon, 'toascope_connections_closed_total', connections);
}

/** The same for that many clients in the kernel's table. */
export function whenTracked(ground: Ground, daemon: Daemon, clients: number): Promise<Sample[]> {
	return whenShown(ground, daemon, 'toascope_clients_tracked', clients);
}

async function whenShown(ground: Ground, daemon: Daemon, metric: string, value: number): Promise<Sample[]> {
	let seen = 0n;
	const counted = daemon.until((samples) => {
		seen = total(samples, metric);
		return seen === BigInt(value) ? samples : undefined;
	});
	const signal = AbortSignal.any([ground.signal, AbortSignal.timeout(countedMs)]);
	const { promise, reject } = Promise.withResolvers<never>();
	const abort = () => reject(ground.signal.aborted ? ground.signal.reason : miscounted(metric, value, seen));
	signal.addEventListener('abort', abort, { once: true });
	try {
		return await Promise.race([counted, promise]);
	} catch (error) {
		if (hasEnded(daemon.child)) throw ended(daemon);
		throw error;
	} finally {
		signal.removeEventListener('abort', abort);
	}
}

function ended({ child, log }: Daemon): ToascopeError {
	const said = log.slice(-3).map(({ msg }) => msg);
	return new ToascopeError(
		'LAB_FAILED',
		`the daemon ended with ${child.signalCode ?? child.exitCode}: ${said.join('; ')}`,
	);
}

function miscounted(metric: string, value: number, seen: bigint): ToascopeError {
	return new ToascopeError('LAB_FAILED', `toascope was to show ${value} as ${metric}, and shows ${seen}`);
}
