// SPDX-License-Identifier: Apache-2.0
/** Starts the export of spans with what it needs of this host. */
import type { Logger } from 'pino';
import type { Config } from '../config/config.ts';
import type { SpanExport } from '../export/otel/span_export.ts';
import { startSpans } from '../export/otel/spans.ts';
import { findCgroup2, readMounts } from '../host/mounts.ts';
import { isInitialPidNamespace } from '../host/pid_namespace.ts';
import { CgroupPaths } from '../model/cgroup_paths.ts';
import { createContainerResolver } from '../model/container.ts';
import { version } from '../version.ts';
import type { SystemClock } from './clock.ts';

/** Undefined: the configuration or the environment switches spans off. */
export async function startSpanExport(
	{ spans, endpoint, protocol }: Config['otel'],
	clock: SystemClock,
	logger: Logger,
): Promise<SpanExport | undefined> {
	if (!spans) return undefined;
	return startSpans({
		endpoint,
		protocol,
		clock: (ns) => clock.toUnixNs(ns),
		resolveContainer: createContainerResolver({ cgroups: cgroupPaths() }),
		logger,
		version,
	});
}

/** Set where a pid does not identify the container of a process. */
function cgroupPaths(): CgroupPaths | undefined {
	if (isInitialPidNamespace()) return undefined;
	const root = findCgroup2(readMounts());
	return root === undefined ? undefined : new CgroupPaths(root);
}
