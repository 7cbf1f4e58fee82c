// SPDX-License-Identifier: Apache-2.0
/** Lines of the log that say how toascope fares: docs/reference/log.md is made of them. */

export interface LogLine {
	readonly level: 'info' | 'warn' | 'error';
	readonly text: string;
	/** What it means, and what to do where something is to be done. */
	readonly meaning: string;
	/** Fields beside the text. */
	readonly fields?: readonly string[];
}

export const logLines = {
	attached: {
		level: 'info',
		text: 'attached: every TOA connection from now on has its client',
		meaning:
			'The start is over: programs are attached. `http` and `socket` are where HTTP answers; `not yet`: an earlier line says why.',
		fields: ['provider', 'accept', 'cgroup', 'adopted', 'http', 'socket'],
	},
	started: {
		level: 'info',
		text: 'started: no connection is seen until the programs are attached',
		meaning: 'As the line before, but a line above it says what is awaited, such as a cgroup.',
		fields: ['provider', 'accept', 'cgroup', 'adopted', 'http', 'socket'],
	},
	notBpf: {
		level: 'warn',
		text: 'provider auto: bpf does not work here, trying the module',
		meaning: '`err` says why. `provider: module` in the configuration says it without this line.',
		fields: ['err'],
	},
	compatServers: {
		level: 'warn',
		text: '32-bit servers get no answer to getsockopt(4096) from the provider bpf',
		meaning:
			'The kernel runs no getsockopt program for calls of 32-bit processes: 4096 is ENOPROTOOPT there. `servers` names those that listen now. ' +
			'`provider: module` answers them, and `transparent` works for them with either provider.',
		fields: ['servers'],
	},
	autoModule: {
		level: 'info',
		text: 'provider auto: toa.ko is loaded, and 32-bit servers need it: taking the module',
		meaning:
			'getsockopt(4096) of `servers` reaches no BPF program. `provider: bpf` in the configuration takes `bpf` all the same.',
		fields: ['servers'],
	},
	moduleNotForCompat: {
		level: 'warn',
		text: 'provider auto: the module does not work here, taking bpf: 32-bit servers get no answer',
		meaning: '`err` says why. `provider: module` in the configuration makes that the end of the start.',
		fields: ['err'],
	},
	httpCloseFailed: {
		level: 'warn',
		text: 'the HTTP server before could not be closed',
		meaning: '`endpoint` was taken away by others and listens again; connections to the server before may stay open.',
		fields: ['endpoint', 'err'],
	},
	moduleNeither: {
		level: 'warn',
		text: 'provider auto: the module does not work here either',
		meaning: '`err` says why. The daemon ends with what is wrong with `bpf`.',
		fields: ['err'],
	},
	moduleLoaded: {
		level: 'info',
		text: 'toa.ko is loaded, and answers',
		meaning: '`how`: `loaded` by this daemon, which takes it away with the rest when it ends; or it `was loaded`.',
		fields: ['how', 'version', 'srcversion'],
	},
	moduleClientsAlone: {
		level: 'warn',
		text: 'toa.ko tells no virtual server and knows no uses: set provider to bpf',
		meaning:
			'`profiles` are those with `vip_at` or `uses`. Their clients are known, to every application alike; ' +
			'getsockopt(1345) to 1347 fail, and no connection has a `virtual_server`.',
		fields: ['profiles'],
	},
	moduleAlone: {
		level: 'warn',
		text: 'BPF is refused: toa.ko alone answers getsockopt(4096); no connection, client, owner or transparent address',
		meaning: '`err` says what refused it. Metrics have what the module counts.',
		fields: ['err'],
	},
	moduleKept: {
		level: 'warn',
		text: 'toa.ko stays loaded',
		meaning: 'It could not be taken away at the end; `err` says why.',
		fields: ['err'],
	},
	moduleNotRestored: {
		level: 'warn',
		text: 'toa.ko keeps profiles and networks of a start that failed',
		meaning: 'It was loaded before, and what it believed could not be put back; `err` says why. Write its parameters.',
		fields: ['err'],
	},
	trustEmpty: {
		level: 'warn',
		text: 'trust is empty: every sender of a TOA option is believed',
		meaning: 'Set `trust` to the networks of your balancers ([security](../security.md)).',
	},
	notTheRoot: {
		level: 'warn',
		text: 'this is not the root of cgroup v2: sockets outside of this container are not seen',
		meaning: 'In a container: share the cgroup namespace of the host and mount its `/sys/fs/cgroup`.',
		fields: ['cgroup'],
	},
	noFexit: {
		level: 'info',
		text: 'this kernel refuses fexit: an accept() without an address buffer is not seen, its owner is the listener',
		meaning: 'Nothing is to be done: `toascope_accepts_total{seen="unseen"}` counts them.',
		fields: ['errno'],
	},
	pidNamespace: {
		level: 'warn',
		text: "in a pid namespace of its own: the kernel's numbers of processes mean nothing here",
		meaning:
			'The daemon runs in a container with a pid namespace. `process.pid` is the number on the host; containers are told by cgroup v2 alone; owners are looked for among the processes of this container; listeners from before are not told to keep SYNs. `hint` says what helps.',
		fields: ['hint'],
	},
	otherSizes: {
		level: 'info',
		text: 'the pinned maps have other sizes than the configuration',
		meaning:
			'A size was changed (`clients.capacity`, `connections.max`, `listeners.max`, `bpf.ring_bytes`) since the maps were pinned. The next line says whether their counters fit into the new ones.',
		fields: ['pins'],
	},
	detached: {
		level: 'error',
		text: 'programs were detached: they see no connection until they are attached again',
		meaning:
			'Somebody detached `programs`, or removed the cgroup that they were attached to, as a service manager does when a service restarts. They are attached again as soon as the cgroup exists; connections that opened meanwhile are not counted.',
		fields: ['programs', 'cgroup', 'cgroup_exists', 'left_out'],
	},
	cgroupAwaited: {
		level: 'warn',
		text: 'the cgroup does not exist yet: programs are attached as soon as it does',
		meaning:
			'`cgroup` of the configuration names a directory that is not there, such as that of a service which has not started. Until then `/readyz` is 503. Where it never comes, correct the key and restart the daemon.',
		fields: ['cgroup'],
	},
	switchedOff: {
		level: 'error',
		text: 'programs are switched off: the kernel does not run them',
		meaning:
			'Their links are as they were, but `why` stops every program on a kernel function: `sysctl kernel.ftrace_enabled=1` lets them run again. Until then accepts are `unseen`, with the listener as owner; clients and counters do not depend on them.',
		fields: ['programs', 'why', 'left_out'],
	},
	moduleLost: {
		level: 'error',
		text: 'toa.ko was unloaded: no application gets a client until it is loaded again',
		meaning:
			'Another process unloaded it, or unloaded it and loaded another. The daemon loads it again, at most once in ten seconds; a line with `toa.ko is loaded` says that it did.',
		fields: ['found', 'left_out'],
	},
	moduleNotLoadedAgain: {
		level: 'error',
		text: 'toa.ko cannot be loaded again',
		meaning:
			'`err` says why. It is tried again after ten seconds, then after ever longer pauses of at most ten minutes, and sooner where another module is loaded or unloaded; at most one line a minute for each cause.',
		fields: ['err', 'left_out'],
	},
	moduleParameters: {
		level: 'warn',
		text: 'the parameters of toa.ko were changed by another process, and are put back',
		meaning:
			'Between two checks, at most a second, the module decided by `found`. Change the configuration and reload instead. `err`: why they cannot be put back.',
		fields: ['found', 'err', 'left_out'],
	},
	moduleSwitchedOff: {
		level: 'error',
		text: 'the probes of toa.ko are switched off: it misses options',
		meaning:
			'`why` stops every kprobe: options on the segment that ends a handshake are lost, those on SYN and data count. `sysctl kernel.ftrace_enabled=1`, or `echo 1 > /sys/kernel/debug/kprobes/enabled`, lets them run again.',
		fields: ['why', 'left_out'],
	},
	attachedAgain: {
		level: 'warn',
		text: 'programs are attached again',
		meaning:
			'The counters go on. Connections that opened while they were detached are not in them. At most one line a minute for the same programs, as of the line before; `toascope_attachments_lost_total` counts all.',
		fields: ['programs', 'cgroup', 'left_out'],
	},
	notAttachedAgain: {
		level: 'error',
		text: 'programs cannot be attached again',
		meaning:
			'`err` says why, `program` which (`settings`: what programs on tracepoints go by). Each is tried every second, whatever becomes of the others. At most one line a minute for each cause.',
		fields: ['err', 'program', 'left_out'],
	},
	otherToascope: {
		level: 'warn',
		text: 'another toascope is attached to the same sockets, and trusts others',
		meaning:
			'Both answer for the sockets that they share: the laxer one answers getsockopt(4096) for connections that the other counts as untrusted. `trust`: its networks; empty: every sender; `unknown`: the kernel tells it to CAP_SYS_ADMIN alone. `pids`: `unknown` in a pid namespace, or where a process may not be looked at (CAP_SYS_PTRACE shows them). Give both the same `trust`, or cgroups that do not overlap.',
		fields: ['cgroup', 'pids', 'trust'],
	},
	leftAttached: {
		level: 'warn',
		text: 'programs of a toascope that does not run any more are attached to the same sockets',
		meaning:
			'They go on by its settings, `trust` among them. Another mount may hide their pins: `umount` it, and start again. Or detach each link that `bpftool link show` has with one of `programs`: `bpftool link detach id LINK`.',
		fields: ['cgroup', 'programs', 'trust'],
	},
	programsUnnamed: {
		level: 'info',
		text: 'programs of others are attached to the same sockets, and this process may not read their names',
		meaning:
			'The kernel tells the names of programs to CAP_SYS_ADMIN alone: whether one of these `programs` (how many) is of another toascope, with another `trust`, cannot be seen from here. `cgroups`: where they are attached, the first eight. Run `toascope doctor` as root, which sees all, or give the daemon that capability.',
		fields: ['programs', 'cgroups'],
	},
	pinsMovedAway: {
		level: 'warn',
		text: 'a directory of another user stood where pins belong, and is moved out of the way',
		meaning:
			'Every user may write the bpffs, and user `uid` had made `path`. `to` is its name now; without it, it was empty and is removed. Let root alone write the mount: `chmod 0700 /sys/fs/bpf`, and mount it with `-o mode=0700`.',
		fields: ['path', 'uid', 'to'],
	},
	bpffsOpen: {
		level: 'warn',
		text: 'other users may write the bpffs with the pins',
		meaning:
			'It was mounted without `mode=`, or for a group. Others can keep names there, and without the sticky bit a group can rename the directory of pins (where every user could, the start is refused). `chmod 0700` on the mount point, and `mount -t bpf -o mode=0700 bpf /sys/fs/bpf` from now on.',
		fields: ['mount', 'mode'],
	},
	pinsRestored: {
		level: 'warn',
		text: 'pins were missing, or of something else: they are put back',
		meaning: 'Somebody removed `names` from the directory of pins. A restart goes on with the counters all the same.',
		fields: ['pins', 'names', 'left_out'],
	},
	pinsHidden: {
		level: 'error',
		text: 'the directory of pins cannot be reached by its path',
		meaning:
			'`why`: another bpffs was mounted over the one with the pins, or the directory was moved. This daemon goes on, and its stop detaches; the next one would not find the counters. Take the mount away (`umount`), or move the directory back.',
		fields: ['pins', 'why', 'left_out'],
	},
	pinsBack: {
		level: 'info',
		text: 'the directory of pins can be reached again',
		meaning: 'What hid it is gone.',
		fields: ['pins'],
	},
	otherFoundation: {
		level: 'warn',
		text: 'the pinned counters are of another cgroup (by its path): counters start from zero',
		meaning: 'The key `cgroup` was changed since the maps were pinned: their connections are not those of now.',
		fields: ['pins'],
	},
	pinsMissing: {
		level: 'warn',
		text: 'some of the pins are missing: counters start from zero',
		meaning:
			'Somebody took pins away, or a start or stop was killed in the middle: what happened since was not counted.',
		fields: ['pins'],
	},
	carriedOver: {
		level: 'info',
		text: 'counters of another layout are carried over',
		meaning:
			'Another version of toascope had pinned them, or this one with maps of other sizes (`-before`). `open` connections were open then: they count as closed.',
		fields: ['layout', 'open'],
	},
	carriedOverInPart: {
		level: 'warn',
		text: 'counters of another layout are carried over, but for some',
		meaning: 'The same; this version has nothing that corresponds to `lost`.',
		fields: ['layout', 'open', 'lost'],
	},
	otherLayout: {
		level: 'warn',
		text: 'counters of another layout could not be carried over: they start from zero',
		meaning: 'Another version of toascope had pinned them; `why` says what does not fit.',
		fields: ['layout', 'why'],
	},
	synsNotKept: {
		level: 'warn',
		text: 'options on the SYN are not read for listeners from before',
		meaning: '`hint` says what helps: restart these servers, or give toascope CAP_SYS_PTRACE.',
		fields: ['code', 'listeners', 'hint', 'left_out'],
	},
	synsKeptAgain: {
		level: 'warn',
		text: 'listeners that did not keep their SYNs are told to again',
		meaning:
			'They began to listen while programs were detached, or TCP_SAVE_SYN was switched off by others. Options that stood on the SYN of their connections until now are not seen. At most one line a minute; `toascope_attachments_lost_total{attachment="syns"}` counts all.',
		fields: ['listeners', 'left_out'],
	},
	synsKept: {
		level: 'warn',
		text: 'listeners go on to keep the SYNs of their connections',
		meaning:
			'`toascope detach` could not load the programs that take the setting (TCP_SAVE_SYN) back; `err` says why. Programs, pins and counters are removed all the same. Each waiting connection of these listeners takes some hundred bytes more until the server restarts; its answers do not change.',
		fields: ['err'],
	},
	reloaded: {
		level: 'info',
		text: 'configuration reloaded',
		meaning:
			'What the file says now is in force. `changed` has each key that differs, with its value before and now where they are short.',
		fields: ['changed'],
	},
	restartKeys: {
		level: 'warn',
		text: 'these keys change with a restart only',
		meaning: 'The file has them otherwise, and what they were at the start holds.',
		fields: ['keys'],
	},
	reloadFailed: {
		level: 'error',
		text: 'reload failed: the configuration before stays in force',
		meaning: '`err` says why. `toascope_config_last_reload_successful` is 0 until a reload succeeds.',
		fields: ['err'],
	},
	taskFailed: {
		level: 'error',
		text: 'a periodic task failed',
		meaning:
			'`task` is tried again: `collect`, `flush`, `reap` and `drain` are tasks, other names are steps that are left out (`owners`: a connection without its owner). At most one line a minute for each cause; `left_out` lines of it came before. `toascope_task_failures_total` counts them all.',
		fields: ['err', 'task', 'left_out'],
	},
	taskRecovered: {
		level: 'info',
		text: 'a periodic task succeeds again',
		meaning:
			'`failures` runs of `task` in a row had failed. Where the log said nothing of them, it says nothing of this either.',
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
		meaning: 'No reason is left for not being ready. It follows a line of the log that said so.',
	},
	metricFailed: {
		level: 'error',
		text: 'a metric could not be read',
		meaning: 'It is left out of that scrape.',
		fields: ['err', 'metric'],
	},
	requestFailed: {
		level: 'error',
		text: 'a request failed',
		meaning:
			'An HTTP request was answered with 500: report it; or with 503, where `err` is of the kernel (`ENOMEM`). At most one line a minute for each cause.',
		fields: ['err', 'url', 'left_out'],
	},
	httpNotListening: {
		level: 'error',
		text: 'HTTP cannot listen: programs stay attached and count, and it is tried again',
		meaning:
			'`endpoint` is the key of the configuration, `err` says why. Told at most once a minute for each cause; it is tried again after 0.25 s, and then after up to 5 s. `/readyz` answers 503 at the other endpoint meanwhile, and `toascope_http_listen_failures_total` counts.',
		fields: ['endpoint', 'err', 'left_out'],
	},
	httpListening: {
		level: 'info',
		text: 'HTTP listens now',
		meaning: 'What the line before was about is over.',
		fields: ['endpoint', 'at'],
	},
	socketFileLost: {
		level: 'error',
		text: 'the file of the Unix socket is gone: the socket is made again',
		meaning:
			'`file`: `removed`, or `replaced` by that of another process, which stays as it is while it answers or is no socket. Once the daemon listens there again, the log says so.',
		fields: ['socket', 'file'],
	},
	socketFileKept: {
		level: 'warn',
		text: 'the file of the Unix socket, or a directory of it, could not be removed',
		meaning: '`err` says why. The daemon ends as usual; the next one replaces the file.',
		fields: ['socket', 'err'],
	},
	httpLimitExceeded: {
		level: 'warn',
		text: 'an HTTP limit was exceeded: requests were refused, or connections closed',
		meaning:
			'At most once a minute for each limit; `toascope_http_limited_total` has the counts, and says what each limit is. `caller`: an address, or `uid N` for a process of this host. Who it is: `ss -tnpe`, `ss -xnp`.',
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
		text: 'no span is sent: the environment forbids it',
		meaning:
			'The configuration asks for spans (`otel.spans`); `by` is the variable that forbids them: `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER` or `OTEL_TRACES_SAMPLER`.',
		fields: ['by'],
	},
	otelVariable: {
		level: 'error',
		text: 'an OpenTelemetry variable cannot be used',
		meaning: '`message` names what may stand there, and what holds instead.',
		fields: ['variable', 'value', 'message'],
	},
	spansNotReaching: {
		level: 'warn',
		text: 'spans are not reaching the collector',
		meaning: 'Told once, until they reach it again; `toascope_drops_total{reason="span_export_failed"}` counts.',
		fields: ['err', 'spans'],
	},
	spansReaching: {
		level: 'info',
		text: 'spans are reaching the collector again',
		meaning: '`lost` spans did not.',
		fields: ['lost'],
	},
	spansLost: {
		level: 'warn',
		text: 'spans lost at the end',
		meaning: 'The collector did not take them in the second that a stop has for it.',
		fields: ['spans'],
	},
	notNotified: {
		level: 'warn',
		text: 'systemd could not be told how it stands',
		meaning:
			'`NOTIFY_SOCKET` names a socket that does not take it: under a unit with `Type=notify` systemd ends the start after its timeout. Elsewhere the variable was inherited: unset it.',
		fields: ['err', 'state'],
	},
	linesLost: {
		level: 'warn',
		text: 'lines of the log were lost',
		meaning:
			'The reader of standard error stood still, was slower than the lines came (what waits for it is at most 1 MiB), or refused them (a full disk). `lost` lines were thrown away since then; `toascope_log_lines_lost_total` counts all.',
		fields: ['lost'],
	},
	signalIgnored: {
		level: 'warn',
		text: 'a signal is ignored',
		meaning: 'Somebody sent `signal`, which toascope has no use for. SIGHUP reloads; SIGTERM, SIGINT and SIGQUIT stop.',
		fields: ['signal', 'left_out'],
	},
	nodeWarning: {
		level: 'warn',
		text: 'Node.js warns',
		meaning: '`err` has what it says, such as a function that is deprecated: report it.',
		fields: ['err', 'left_out'],
	},
	crashed: {
		level: 'error',
		text: 'an error inside toascope ends it',
		meaning:
			'Report it, with `err`. Programs and counters that are pinned are left as after a kill: the next start goes on with them.',
		fields: ['err'],
	},
	stopping: { level: 'info', text: 'stopping', meaning: 'A signal was received.', fields: ['signal'] },
	stoppedKept: {
		level: 'info',
		text: 'stopped: the programs stay attached and count',
		meaning:
			'`on_exit: keep`; the next daemon goes on with the counters, and with the records that wait for traces and live views.',
		fields: ['on_exit', 'records_lost'],
	},
	stoppedKeptInPart: {
		level: 'warn',
		text: 'stopped: not all stays attached and counts',
		meaning:
			'`on_exit: keep`, and `lost` is not kept: what is not attached sees no connection until the next start, and what is not pinned, or cannot be reached, starts from zero then.',
		fields: ['on_exit', 'records_lost', 'lost'],
	},
	stopped: {
		level: 'info',
		text: 'stopped: detached',
		meaning:
			'Nothing is left in the kernel. `records_lost`: for so many records of traces and live views the time was too short.',
		fields: ['on_exit', 'records_lost'],
	},
} as const satisfies Record<string, LogLine>;

/** Where lines go: pino's loggers, and what stands for them. */
export type LogSink = Readonly<Record<LogLine['level'], (context: object, text: string) => void>>;

/** Writes one of them, with its fields. */
export function tell(log: LogSink, line: LogLine, context: object = {}): void {
	log[line.level](context, line.text);
}

/** Lines that would come again and again: one in this time for each cause. */
const everyMs = 60_000;

interface Said {
	atMs: number;
	leftOut: number;
}

/** With the number of those that were left out. */
export class LogLimit {
	readonly #log: LogSink;
	readonly #nowMs: () => number;
	readonly #said = new Map<string, Said>();

	/** `nowMs`: milliseconds that only grow. */
	constructor(log: LogSink, nowMs: () => number = () => performance.now()) {
		this.#log = log;
		this.#nowMs = nowMs;
	}

	/** `cause` is one of few: it is remembered for good. Returns whether the line is in the log. */
	tell(cause: string, line: LogLine, context: object = {}): boolean {
		const now = this.#nowMs();
		const said = this.#said.get(cause);
		if (said !== undefined && now - said.atMs < everyMs) {
			said.leftOut++;
			return false;
		}
		tell(this.#log, line, { ...context, ...(said !== undefined && said.leftOut > 0 && { left_out: said.leftOut }) });
		this.#said.set(cause, { atMs: now, leftOut: 0 });
		return true;
	}
}
