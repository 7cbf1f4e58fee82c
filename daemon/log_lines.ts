// SPDX-License-Identifier: Apache-2.0
/** The log lines about the state of toascope: docs/reference/log.md is generated from them. */

export interface LogLine {
	readonly level: 'info' | 'warn' | 'error';
	readonly text: string;
	/** What the line means, and what to do where action is needed. */
	readonly meaning: string;
	/** Names of the fields that accompany the text. */
	readonly fields?: readonly string[];
}

export const logLines = {
	attached: {
		level: 'info',
		text: 'attached: every TOA connection from now on is resolved to its client',
		meaning:
			'The start is complete and the programs are attached. `http` and `socket` say where HTTP listens; `not yet`: an earlier line says why.',
		fields: ['provider', 'accept', 'cgroup', 'adopted', 'http', 'socket'],
	},
	started: {
		level: 'info',
		text: 'started: no connection is observed until the programs are attached',
		meaning:
			'The start is complete, but the programs are not attached yet: an earlier line says what is awaited, such as a cgroup. `http` and `socket` say where HTTP listens; `not yet`: an earlier line says why.',
		fields: ['provider', 'accept', 'cgroup', 'adopted', 'http', 'socket'],
	},
	bpfRefused: {
		level: 'warn',
		text: 'provider auto: bpf does not work here, trying the module',
		meaning: '`err` says why. With `provider: module` in the configuration this line is not logged.',
		fields: ['err'],
	},
	compatServers: {
		level: 'warn',
		text: '32-bit servers get no answer to getsockopt(4096) from the provider bpf',
		meaning:
			'The kernel runs no getsockopt program for 32-bit processes: there getsockopt(4096) fails with ENOPROTOOPT. `servers` lists those that are listening now. `provider: module` answers them, and `transparent` works for them with either provider.',
		fields: ['servers'],
	},
	autoModule: {
		level: 'info',
		text: 'provider auto: toa.ko is loaded, and 32-bit servers need it: using the module',
		meaning:
			'getsockopt(4096) calls of `servers` reach no BPF program. With `provider: bpf` in the configuration `bpf` is used nevertheless.',
		fields: ['servers'],
	},
	moduleNotForCompat: {
		level: 'warn',
		text: 'provider auto: the module does not work here, using bpf: 32-bit servers get no answer',
		meaning: '`err` says why. With `provider: module` in the configuration the start fails instead.',
		fields: ['err'],
	},
	httpCloseFailed: {
		level: 'warn',
		text: 'the previous HTTP server could not be closed',
		meaning:
			'Another process removed the socket of `endpoint`, and the daemon listens there again; connections to the previous server may stay open.',
		fields: ['endpoint', 'err'],
	},
	moduleFailedToo: {
		level: 'warn',
		text: 'provider auto: the module does not work here either',
		meaning: '`err` says why. The daemon exits with the error of `bpf`.',
		fields: ['err'],
	},
	moduleLoaded: {
		level: 'info',
		text: 'toa.ko is loaded and answers',
		meaning:
			'`how`: `loaded` by this daemon, which unloads it when it stops and detaches; `was loaded`: it was loaded before.',
		fields: ['how', 'version', 'srcversion'],
	},
	moduleClientsOnly: {
		level: 'warn',
		text: 'toa.ko supports neither virtual servers nor uses: set provider to bpf',
		meaning:
			'`profiles` are those with `vip_at` or `uses`. Their clients are known, to every application alike; getsockopt(1345) to 1347 fail, and no connection has a `virtual_server`.',
		fields: ['profiles'],
	},
	moduleOnly: {
		level: 'warn',
		text: 'BPF is refused: toa.ko answers only getsockopt(4096); no connection, client, owner or transparent address',
		meaning: '`err` says what refused it. The metrics contain what the module counts.',
		fields: ['err'],
	},
	moduleStaysLoaded: {
		level: 'warn',
		text: 'toa.ko stays loaded',
		meaning: 'It could not be unloaded at the stop; `err` says why.',
		fields: ['err'],
	},
	moduleNotRestored: {
		level: 'warn',
		text: 'toa.ko keeps the profiles and networks of a start that failed',
		meaning:
			'It was loaded before, and its previous profiles and trusted networks could not be restored; `err` says why. Write its parameters.',
		fields: ['err'],
	},
	trustEmpty: {
		level: 'warn',
		text: 'trust is empty: every sender of a TOA option is trusted',
		meaning: 'Set `trust` to the networks of your balancers ([security](../security.md)).',
	},
	notTheRoot: {
		level: 'warn',
		text: 'this is not the root of cgroup v2: sockets outside this container are not observed',
		meaning: 'In a container: share the cgroup namespace of the host and mount its `/sys/fs/cgroup`.',
		fields: ['cgroup'],
	},
	noFexit: {
		level: 'info',
		text: 'this kernel refuses fexit: an accept() without an address buffer is unobserved, its owner is the listener',
		meaning: 'No action is needed: `toascope_accepts_total{seen="unseen"}` counts them.',
		fields: ['errno'],
	},
	pidNamespace: {
		level: 'warn',
		text: "in a pid namespace of its own: the kernel's process IDs mean nothing here",
		meaning:
			'The daemon runs in a container with a pid namespace. `process.pid` is the process ID on the host; containers are identified by cgroup v2 only; owners are searched for among the processes of this container; TCP_SAVE_SYN is not set on listeners that existed before. `hint` says what helps.',
		fields: ['hint'],
	},
	otherSizes: {
		level: 'info',
		text: 'the sizes of the pinned maps differ from the configuration',
		meaning:
			'A size was changed (`clients.capacity`, `connections.max`, `listeners.max`, `bpf.ring_bytes`) since the maps were pinned. The next line says whether their counters fit into the new maps.',
		fields: ['pins'],
	},
	detached: {
		level: 'error',
		text: 'programs were detached: no connection is observed until they are attached again',
		meaning:
			'Another process detached `programs`, or removed the cgroup that they were attached to, as a service manager does when a service restarts. They are attached again as soon as the cgroup exists; connections that opened in between are not counted.',
		fields: ['programs', 'cgroup', 'cgroup_exists', 'left_out'],
	},
	cgroupAwaited: {
		level: 'warn',
		text: 'the cgroup does not exist yet: programs are attached as soon as it does',
		meaning:
			'The key `cgroup` names a directory that does not exist, such as that of a service that has not started. Until it does, `/readyz` answers 503. If it never will, correct the key and restart the daemon.',
		fields: ['cgroup'],
	},
	switchedOff: {
		level: 'error',
		text: 'programs are switched off: the kernel does not run them',
		meaning:
			'Their links are unchanged, but `why` stops every program on a kernel function: `sysctl kernel.ftrace_enabled=1` lets them run again. Until then accepts are `unseen`, with the listener as owner; clients and counters do not depend on these programs.',
		fields: ['programs', 'why', 'left_out'],
	},
	moduleUnloaded: {
		level: 'error',
		text: 'toa.ko was unloaded: no application gets a client until it is loaded again',
		meaning:
			'Another process unloaded it, or replaced it with another module. The daemon loads it again, at most once every ten seconds; a line that begins with `toa.ko is loaded` reports it.',
		fields: ['found', 'left_out'],
	},
	moduleReloadFailed: {
		level: 'error',
		text: 'toa.ko cannot be loaded again',
		meaning:
			'`err` says why. The daemon retries after ten seconds, then at growing intervals of at most ten minutes, and sooner when another module is loaded or unloaded; at most one line a minute for each cause.',
		fields: ['err', 'left_out'],
	},
	moduleParameters: {
		level: 'warn',
		text: 'the parameters of toa.ko were changed by another process and are restored',
		meaning:
			'Between two checks, at most a second, the module used `found`. Change the configuration and reload instead. `err`: why they cannot be restored.',
		fields: ['found', 'err', 'left_out'],
	},
	moduleSwitchedOff: {
		level: 'error',
		text: 'the probes of toa.ko are switched off: it misses options',
		meaning:
			'`why` stops every kprobe: options on the segment that ends a handshake are missed, those on the SYN and on data are read. `sysctl kernel.ftrace_enabled=1`, or `echo 1 > /sys/kernel/debug/kprobes/enabled`, lets them run again.',
		fields: ['why', 'left_out'],
	},
	reattached: {
		level: 'warn',
		text: 'programs are attached again',
		meaning:
			'The counters continue. Connections that opened while the programs were detached are not in them. At most one line a minute for the same programs, as for `programs were detached`; `toascope_attachments_lost_total` counts every loss.',
		fields: ['programs', 'cgroup', 'left_out'],
	},
	reattachFailed: {
		level: 'error',
		text: 'programs cannot be attached again',
		meaning:
			'`err` says why, `program` which one (`settings`: the settings that programs on tracepoints use). Each is retried every second, whether or not the others succeed. At most one line a minute for each cause.',
		fields: ['err', 'program', 'left_out'],
	},
	otherToascope: {
		level: 'warn',
		text: 'another toascope with a different trust is attached to the same sockets',
		meaning:
			'Both answer for the sockets that they share: the laxer one answers getsockopt(4096) for connections that the other counts as untrusted. `trust`: the networks of the other; empty: every sender; `unknown`: the kernel shows it only to CAP_SYS_ADMIN. `pids`: `unknown` in a pid namespace, or where a process cannot be inspected (CAP_SYS_PTRACE allows it). Give both the same `trust`, or cgroups that do not overlap.',
		fields: ['cgroup', 'pids', 'trust'],
	},
	leftAttached: {
		level: 'warn',
		text: 'programs of a toascope that is no longer running are attached to the same sockets',
		meaning:
			'They still apply its settings, `trust` among them. Another mount may hide their pins: `umount` it, and start again. Or detach each link that `bpftool link show` lists with one of `programs`: `bpftool link detach id LINK`.',
		fields: ['cgroup', 'programs', 'trust'],
	},
	programNamesHidden: {
		level: 'info',
		text: 'other programs are attached to the same sockets, and this process may not read their names',
		meaning:
			'The kernel shows the names of programs only to CAP_SYS_ADMIN: without it this process cannot determine whether one of these `programs` (their number) belongs to another toascope with another `trust`. `cgroups`: where they are attached, the first eight. Run `toascope doctor` as root, which reads all names, or give the daemon that capability.',
		fields: ['programs', 'cgroups'],
	},
	pinsMovedAside: {
		level: 'warn',
		text: 'a directory of another user occupied the path of the pins and was moved aside',
		meaning:
			'Every user can write to the bpffs, and user `uid` had created `path`. `to` is its new name; without `to` it was empty and was removed. Let only root write to the mount: `chmod 0700 /sys/fs/bpf`, and mount it with `-o mode=0700`.',
		fields: ['path', 'uid', 'to'],
	},
	bpffsOpen: {
		level: 'warn',
		text: 'other users can write to the bpffs with the pins',
		meaning:
			'It was mounted without `mode=`, or for a group. Others can occupy names there, and without the sticky bit a group can rename the directory of pins (where every user could, the start is refused). Run `chmod 0700` on the mount point, and use `mount -t bpf -o mode=0700 bpf /sys/fs/bpf` from now on.',
		fields: ['mount', 'mode'],
	},
	pinsRestored: {
		level: 'warn',
		text: 'pins were missing or replaced, and are restored',
		meaning:
			'Another process removed or replaced `names` in the directory of pins. The next start adopts the counters as usual.',
		fields: ['pins', 'names', 'left_out'],
	},
	pinsHidden: {
		level: 'error',
		text: 'the directory of pins cannot be reached by its path',
		meaning:
			'`why`: another bpffs was mounted over the one with the pins, or the directory was moved. This daemon continues, and detaches when it stops; the next one would not find the counters. Unmount what hides it (`umount`), or move the directory back.',
		fields: ['pins', 'why', 'left_out'],
	},
	pinsReachable: {
		level: 'info',
		text: 'the directory of pins can be reached again',
		meaning: 'What hid it is gone.',
		fields: ['pins'],
	},
	otherScope: {
		level: 'warn',
		text: 'the pinned counters are of another cgroup (by its path): counters start from zero',
		meaning:
			'The key `cgroup` was changed since the maps were pinned: they count the connections of the previous cgroup.',
		fields: ['pins'],
	},
	pinsMissing: {
		level: 'warn',
		text: 'some of the pins are missing: counters start from zero',
		meaning:
			'Another process removed pins, or a start or stop was killed before it was complete: what happened since then was not counted.',
		fields: ['pins'],
	},
	migrated: {
		level: 'info',
		text: 'counters of another layout are migrated',
		meaning:
			'Another version of toascope had pinned them, or this one with maps of other sizes (`-before`). `open` connections were open at that time: they count as closed.',
		fields: ['layout', 'open'],
	},
	migratedInPart: {
		level: 'warn',
		text: 'counters of another layout are migrated in part',
		meaning:
			'Another version of toascope had pinned them, or this one with maps of other sizes (`-before`). `open` connections were open at that time: they count as closed. This version has no counterpart for `lost`.',
		fields: ['layout', 'open', 'lost'],
	},
	otherLayout: {
		level: 'warn',
		text: 'counters of another layout could not be migrated: they start from zero',
		meaning: 'Another version of toascope had pinned them; `why` says what does not fit.',
		fields: ['layout', 'why'],
	},
	synsNotSaved: {
		level: 'warn',
		text: 'options on the SYN are not read for listeners that existed before',
		meaning:
			'TCP_SAVE_SYN could not be set on servers that were listening already. `hint` says what helps: restart these servers, or give toascope CAP_SYS_PTRACE.',
		fields: ['code', 'listeners', 'hint', 'left_out'],
	},
	saveSynRestored: {
		level: 'warn',
		text: 'listeners did not save the SYNs of their connections: TCP_SAVE_SYN is set again',
		meaning:
			'They began to listen while programs were detached, or another process switched TCP_SAVE_SYN off. Options on the SYN of their connections were not read until now. At most one line a minute; `toascope_attachments_lost_total{attachment="syns"}` counts every loss.',
		fields: ['listeners', 'left_out'],
	},
	saveSynNotReset: {
		level: 'warn',
		text: 'listeners continue to save the SYNs of their connections',
		meaning:
			'`toascope detach` could not load the programs that reset TCP_SAVE_SYN; `err` says why. Programs, pins and counters are removed nevertheless. Each pending connection of these listeners uses some hundred bytes more until the server restarts; what the server answers does not change.',
		fields: ['err'],
	},
	reloaded: {
		level: 'info',
		text: 'configuration reloaded',
		meaning:
			'The contents of the file are in force. `changed` has each key that differs, with its value before and now where they are short.',
		fields: ['changed'],
	},
	restartKeys: {
		level: 'warn',
		text: 'these keys change only with a restart',
		meaning: 'The file has other values for them; those of the start stay in force.',
		fields: ['keys'],
	},
	reloadFailed: {
		level: 'error',
		text: 'reload failed: the previous configuration stays in force',
		meaning: '`err` says why. `toascope_config_last_reload_successful` is 0 until a reload succeeds.',
		fields: ['err'],
	},
	taskFailed: {
		level: 'error',
		text: 'a periodic task failed',
		meaning:
			'`task` is retried: `collect`, `flush`, `reap` and `drain` are tasks, other names are steps that are skipped (`owners`: a connection without its owner). At most one line a minute for each cause; `left_out` says how many were left out before this one. `toascope_task_failures_total` counts them all.',
		fields: ['err', 'task', 'left_out'],
	},
	taskRecovered: {
		level: 'info',
		text: 'a periodic task succeeds again',
		meaning:
			'`task` had failed `failures` times in a row. Failures that were not logged are not followed by this line.',
		fields: ['task', 'failures'],
	},
	notReady: {
		level: 'warn',
		text: 'not ready',
		meaning:
			'`reasons` say what is wrong; `/readyz` answers 503 with them until none is left. At most one line a minute for the same reasons.',
		fields: ['reasons', 'left_out'],
	},
	readyAgain: {
		level: 'info',
		text: 'ready again',
		meaning: 'No reason for not being ready is left. It is logged only after `not ready`.',
	},
	metricFailed: {
		level: 'error',
		text: 'a metric could not be read',
		meaning: 'It is omitted from that scrape.',
		fields: ['err', 'metric'],
	},
	requestFailed: {
		level: 'error',
		text: 'a request failed',
		meaning:
			'An HTTP request was answered with 500: report it; or with 503, where `err` comes from the kernel (`ENOMEM`). At most one line a minute for each cause.',
		fields: ['err', 'url', 'left_out'],
	},
	httpNotListening: {
		level: 'error',
		text: 'HTTP cannot listen, retrying: programs stay attached and count',
		meaning:
			'`endpoint` is the key of the configuration, `err` says why. Logged at most once a minute for each cause; the daemon retries after 0.25 s, and then after up to 5 s. `/readyz` answers 503 at the other endpoint meanwhile, and `toascope_http_listen_failures_total` counts the attempts.',
		fields: ['endpoint', 'err', 'left_out'],
	},
	httpListening: {
		level: 'info',
		text: 'HTTP is listening now',
		meaning: 'The reason of the preceding `HTTP cannot listen` is gone.',
		fields: ['endpoint', 'at'],
	},
	socketFileLost: {
		level: 'error',
		text: 'the file of the Unix socket is gone: the socket is created again',
		meaning:
			'`file`: `removed`, or `replaced` by a file of another process, which is not touched while a process answers there or if it is not a socket. Once the daemon listens there again, the log says so.',
		fields: ['socket', 'file'],
	},
	socketFileNotRemoved: {
		level: 'warn',
		text: 'the file of the Unix socket, or one of its directories, could not be removed',
		meaning: '`err` says why. The daemon stops as usual; the next one replaces the file.',
		fields: ['socket', 'err'],
	},
	httpLimitExceeded: {
		level: 'warn',
		text: 'an HTTP limit was exceeded: requests were refused, or connections closed',
		meaning:
			'At most once a minute for each limit; `toascope_http_limited_total` has the counts, and explains each limit. `caller`: an address, or `uid N` for a process of this host. To identify it: `ss -tnpe`, `ss -xnp`.',
		fields: ['limit', 'caller', 'left_out'],
	},
	exportingSpans: {
		level: 'info',
		text: 'exporting spans',
		meaning: 'A span is sent for each connection with TOA.',
		fields: ['url'],
	},
	spansOff: {
		level: 'warn',
		text: 'no spans are sent: the environment disables them',
		meaning:
			'The configuration enables spans (`otel.spans`); `by` is the variable that disables them: `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` or `OTEL_TRACES_SAMPLER`.',
		fields: ['by'],
	},
	otelVariable: {
		level: 'error',
		text: 'an OpenTelemetry variable cannot be used',
		meaning: '`message` says which values are allowed, and what is used instead.',
		fields: ['variable', 'value', 'message'],
	},
	spansNotReaching: {
		level: 'warn',
		text: 'spans are not reaching the collector',
		meaning:
			'Logged once, until they reach it again; `toascope_drops_total{reason="span_export_failed"}` counts the spans.',
		fields: ['err', 'spans'],
	},
	spansReaching: {
		level: 'info',
		text: 'spans are reaching the collector again',
		meaning: '`lost` spans did not reach it.',
		fields: ['lost'],
	},
	spansLost: {
		level: 'warn',
		text: 'spans were lost while stopping',
		meaning: 'The collector did not accept them within the second that a stop waits for it.',
		fields: ['spans'],
	},
	notNotified: {
		level: 'warn',
		text: 'could not notify systemd (sd_notify)',
		meaning:
			'`NOTIFY_SOCKET` names a socket that does not accept `state`: under a unit with `Type=notify` systemd aborts the start after its timeout. Elsewhere the variable was inherited: unset it.',
		fields: ['err', 'state'],
	},
	linesLost: {
		level: 'warn',
		text: 'log lines were lost',
		meaning:
			'The reader of standard error was stalled, was slower than the lines were written (at most 1 MiB is buffered), or refused them (a full disk). `lost` lines were discarded since then; `toascope_log_lines_lost_total` counts all.',
		fields: ['lost'],
	},
	signalIgnored: {
		level: 'warn',
		text: 'a signal is ignored',
		meaning: 'A process sent `signal`, which toascope does not use. SIGHUP reloads; SIGTERM, SIGINT and SIGQUIT stop.',
		fields: ['signal', 'left_out'],
	},
	nodeWarning: {
		level: 'warn',
		text: 'Node.js emitted a warning',
		meaning: '`err` is the warning, such as that a function is deprecated: report it.',
		fields: ['err', 'left_out'],
	},
	crashed: {
		level: 'error',
		text: 'internal error: the daemon exits',
		meaning: 'Report it, with `err`. Pinned programs and counters stay as after a kill: the next start adopts them.',
		fields: ['err'],
	},
	stopping: { level: 'info', text: 'stopping', meaning: 'A signal was received.', fields: ['signal'] },
	stoppedKept: {
		level: 'info',
		text: 'stopped: the programs stay attached and count',
		meaning: '`on_exit: keep`; the next daemon adopts the counters, and the records that wait for spans.',
		fields: ['on_exit', 'records_lost'],
	},
	stoppedPartlyKept: {
		level: 'warn',
		text: 'stopped: not everything stays attached and counts',
		meaning:
			'`on_exit: keep`, but `lost` is not kept: what is not attached observes no connection until the next start; what is not pinned, or cannot be reached, starts from zero then.',
		fields: ['on_exit', 'records_lost', 'lost'],
	},
	stopped: {
		level: 'info',
		text: 'stopped: detached',
		meaning:
			'Nothing is left in the kernel. `records_lost`: the number of records for spans that could not be processed in time.',
		fields: ['on_exit', 'records_lost'],
	},
} as const satisfies Record<string, LogLine>;

/** Where lines go: a pino logger, or an object that replaces one. */
export type LogSink = Readonly<Record<LogLine['level'], (context: object, text: string) => void>>;

/** Writes a line of the table, with its fields. */
export function logLine(log: LogSink, line: LogLine, context: object = {}): void {
	log[line.level](context, line.text);
}

/** The least time between two lines of the same cause. */
const everyMs = 60_000;

interface LastLine {
	atMs: number;
	leftOut: number;
}

/**
 * Limits lines that repeat to one a minute for each cause. The next line that is written has the
 * number of those that were left out.
 */
export class LogLimit {
	readonly #log: LogSink;
	readonly #nowMs: () => number;
	readonly #lastLines = new Map<string, LastLine>();

	/** `nowMs`: a monotonic clock, in milliseconds. */
	constructor(log: LogSink, nowMs: () => number = () => performance.now()) {
		this.#log = log;
		this.#nowMs = nowMs;
	}

	/**
	 * `cause` must come from a small set, since causes are never forgotten. Returns whether the
	 * line was written.
	 */
	log(cause: string, line: LogLine, context: object = {}): boolean {
		const now = this.#nowMs();
		const last = this.#lastLines.get(cause);
		if (last !== undefined && now - last.atMs < everyMs) {
			last.leftOut++;
			return false;
		}
		logLine(this.#log, line, { ...context, ...(last !== undefined && last.leftOut > 0 && { left_out: last.leftOut }) });
		this.#lastLines.set(cause, { atMs: now, leftOut: 0 });
		return true;
	}
}
