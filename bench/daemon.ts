// SPDX-License-Identifier: Apache-2.0
/**
 * Starts the real daemon, `toascope run`, for the bench: with default settings, the environment of
 * its systemd unit, and one cgroup.
 */
import { ToascopeError } from '../daemon/errors.ts';
import { hasEnded } from '../daemon/lab/process.ts';
import { Daemon } from '../test/kit/daemon/daemon.ts';
import { unitEnvironment } from '../test/kit/daemon/unit_environment.ts';
import { type Sample, total } from '../test/kit/telemetry/metrics.ts';
import type { Sandbox } from './sandbox.ts';

/** The cgroup that the daemon itself runs in. */
export const daemonCgroup = 'daemon';

/**
 * Limit for the daemon to count everything. It collects once a second, but after a long collection
 * it pauses for 20 times the duration.
 */
const countedMs = 120_000;

/** The daemon in the form that is published. */
const published = new URL('../dist/daemon/main.js', import.meta.url).pathname;

/**
 * Attaches the daemon to that cgroup of the bench. `more` is further configuration in YAML;
 * `program` is the daemon of another tree; `env`: further variables.
 */
export async function startDaemon(
	sandbox: Sandbox,
	cgroup: string,
	more = '',
	program: string = published,
	env: Readonly<Record<string, string>> = {},
): Promise<Daemon> {
	sandbox.signal.throwIfAborted();
	const daemon = await Daemon.start({
		config: `cgroup: ${sandbox.cgroup(cgroup)}\nlog: {format: json}\n${more}`,
		program,
		env: { ...unitEnvironment, ...env },
		parent: sandbox.scratch,
		through: sandbox.killedWithParent,
	});
	// from here on, its CPU time is accounted to this cgroup
	sandbox.move(daemon.child, daemonCgroup);
	return daemon;
}

/**
 * Returns the samples once the daemon has counted exactly that many closed connections.
 * @throws {ToascopeError} LAB_FAILED if it has not within the limit
 */
export function untilClosed(sandbox: Sandbox, daemon: Daemon, connections: number): Promise<Sample[]> {
	return untilMetricIs(sandbox, daemon, 'toascope_connections_closed_total', connections);
}

/** Returns the samples once exactly that many clients are in the kernel's table. */
export function untilTracked(sandbox: Sandbox, daemon: Daemon, clients: number): Promise<Sample[]> {
	return untilMetricIs(sandbox, daemon, 'toascope_clients_tracked', clients);
}

async function untilMetricIs(sandbox: Sandbox, daemon: Daemon, metric: string, value: number): Promise<Sample[]> {
	let current = 0n;
	const counted = daemon.until((samples) => {
		current = total(samples, metric);
		return current === BigInt(value) ? samples : undefined;
	});
	const signal = AbortSignal.any([sandbox.signal, AbortSignal.timeout(countedMs)]);
	const { promise, reject } = Promise.withResolvers<never>();
	const abort = () => reject(sandbox.signal.aborted ? sandbox.signal.reason : miscounted(metric, value, current));
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
	const messages = log.slice(-3).map(({ msg }) => msg);
	return new ToascopeError(
		'LAB_FAILED',
		`the daemon ended with ${child.signalCode ?? child.exitCode}: ${messages.join('; ')}`,
	);
}

function miscounted(metric: string, value: number, current: bigint): ToascopeError {
	return new ToascopeError('LAB_FAILED', `${metric} should be ${value} but is ${current}`);
}
