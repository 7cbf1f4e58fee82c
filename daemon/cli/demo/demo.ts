// SPDX-License-Identifier: Apache-2.0
/**
 * `toascope demo`: all parts at work on this machine. IPv6 clients, a NAT64 gateway and an IPv4
 * server run in a lab of network namespaces, and the daemon observes the server. Nothing is left
 * behind.
 */
import { statSync } from 'node:fs';
import { exitCode } from '../../errors.ts';
import { requirePrivileges } from '../../host/privileges.ts';
import { Lab, nat64Server } from '../../lab/lab.ts';
import { LogDestination } from '../../service/log_destination.ts';
import { BackendCheck, emptyTally, LabCheck, type Tally } from './check.ts';
import { type DemoOptions, requireUsable } from './options.ts';
import { configuration, hostPool, hostServer, port, publicPort, requireListener, startService } from './setup.ts';
import { type Stop, stopSignal } from './stop.ts';
import { eventLine, reportOf, tallyText } from './text.ts';
import { runOnce, runUntilStopped } from './traffic.ts';

/**
 * Runs the demo. Returns 0 when every connection was resolved to the client that really made it.
 * @throws {ToascopeError} what prevents it from running on this host
 */
export async function demo(options: DemoOptions): Promise<number> {
	requireUsable(options);
	configuration(options);
	requirePrivileges('the demo', ['CAP_SYS_ADMIN']);
	const stop = stopSignal();
	try {
		return await run(options, stop);
	} catch (error) {
		// Ctrl-C ends the processes of the lab as well as this one, even during the start
		if (stop.stopped && options.once === undefined) return exitCode.done;
		throw error;
	} finally {
		stop.dispose();
	}
}

/**
 * Standard output. When its reader has gone it stops the demo, which would otherwise run until a
 * signal stops it.
 */
function openScreen(stop: Stop): LogDestination {
	const screen = new LogDestination({
		fd: 1,
		onResumed: (dropped) => screen.write(`(${dropped} lines left out)\n`),
		onReaderGone: () => stop.now(),
	});
	return screen;
}

/** How long an exit waits for a stalled terminal. */
const lastLinesMs = 300;

async function run(options: DemoOptions, stop: Stop): Promise<number> {
	return options.backend === undefined ? runLab(options, stop) : runBackend(options, options.backend, stop);
}

async function runLab(options: DemoOptions, stop: Stop): Promise<number> {
	await using lab = await Lab.open({ routes: [{ listenPort: publicPort, backendPort: port, profile: 'nat64' }] });
	const truth = new LabCheck(lab.netnsInode('server'));
	// a paused pager must not block the daemon, which runs in this process
	const screen = openScreen(stop);
	await lab.echoServer({ port, onRecords: (records) => truth.addServed(records) });
	const service = await startService(options, (event) => {
		// another demo on this machine has the same addresses
		const ours = event.connection.netns === lab.netnsInode('server');
		if (ours && event.type === 'closed') screen.write(eventLine(event.connection));
	});
	let tally: Tally = emptyTally;
	let seconds: number;
	try {
		if (options.once) return await runOnce(options, lab, truth, service, stop);
		seconds = await runUntilStopped(options, lab, service, stop, screen, {
			batch: () => ({
				to: nat64Server,
				send: 24 + Math.floor(Math.random() * 2000),
				receive: Math.floor(Math.random() * 50_000),
			}),
			async check(results) {
				tally = await truth.check(results, tally, service);
			},
		});
	} finally {
		await service.stop('detach');
	}
	await printTally(screen, tally, seconds);
	return exitCode.done;
}

/**
 * The lab's gateway connects to a server in the network namespace of this process, over loopback.
 */
async function runBackend(options: DemoOptions, backend: number, stop: Stop): Promise<number> {
	await requireListener(backend);
	await using lab = await Lab.open({
		routes: [{ listenPort: publicPort, backendPort: backend, profile: 'nat64' }],
		backend: { netns: `/proc/${process.pid}/ns/net`, pool: hostPool },
	});
	const truth = new BackendCheck();
	const netns = statSync('/proc/self/ns/net').ino;
	const screen = openScreen(stop);
	const service = await startService(options, ({ type, connection }) => {
		if (type !== 'closed' || connection.netns !== netns) return;
		truth.addFound(connection);
		screen.write(eventLine(connection));
	});
	let seconds: number;
	try {
		const text = `GET / HTTP/1.1\r\nHost: 127.0.0.1:${backend}\r\nUser-Agent: toascope-demo\r\nConnection: close\r\n\r\n`;
		seconds = await runUntilStopped(options, lab, service, stop, screen, {
			batch: () => ({ to: hostServer, text }),
			check: async (results) => truth.addMade(results),
		});
	} finally {
		await service.stop('detach');
	}
	await printTally(screen, truth.tally, seconds);
	return exitCode.done;
}

/** Must be called after the service has stopped: until then it prints lines of connections. */
async function printTally(screen: LogDestination, tally: Tally, seconds: number): Promise<void> {
	screen.write(`\n${tallyText(reportOf(tally, Math.round(seconds)))}`);
	await screen.flush(lastLinesMs);
}
