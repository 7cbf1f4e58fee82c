// SPDX-License-Identifier: Apache-2.0
/**
 * A guest in which systemd is init, on a fresh small Debian, with this tree at /opt/toascope: runs
 * commands there as root, and returns what systemd and the journal know about a unit. What the
 * guest writes is lost when it ends.
 */
import { once } from 'node:events';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { Machine } from './machine.ts';
import type { Fetched } from './packages.ts';
import { systemdRoot } from './systemd_root.ts';

export interface SystemdOptions {
	readonly fetched: Fetched;
	/** The directory for the initramfs and the serial log. */
	readonly directory: string;
	/** The time limit of this guest. */
	readonly limitSeconds: number;
	/** Additional words for the kernel's command line. */
	readonly kernelArguments?: readonly string[];
}

export interface ScriptResult {
	/** Exit code. */
	readonly code: number;
	/** Standard output and standard error. */
	readonly text: string;
}

/** An entry of the journal: MESSAGE, PRIORITY, _PID, ... as `journalctl -o json` has them. */
export type JournalEntry = Readonly<Record<string, string>>;

export class SystemdGuest implements AsyncDisposable {
	readonly #machine: Machine;
	readonly #agent: Socket;
	readonly #answers: AsyncIterator<string>;
	readonly #ended: Promise<void>;

	private constructor(machine: Machine, agent: Socket, ended: Promise<void>) {
		this.#machine = machine;
		this.#agent = agent;
		this.#ended = ended;
		this.#answers = createInterface({ input: agent })[Symbol.asyncIterator]();
	}

	/**
	 * Resolves when systemd has reached multi-user.target.
	 * @throws Unavailable; Error if the guest ends before
	 */
	static async boot({ directory, ...options }: SystemdOptions): Promise<SystemdGuest> {
		const root = await systemdRoot();
		mkdirSync(directory, { recursive: true });
		const path = join(directory, 'agent.sock');
		rmSync(path, { force: true });
		await using server = createServer();
		server.listen(path);
		await once(server, 'listening');
		const connected = once(server, 'connection') as Promise<[Socket]>;
		const machine = await Machine.start({
			...options,
			directory,
			script: '/opt/toascope/test/vm/systemd_init.sh',
			root: { directory: root, tree: '/opt/toascope' },
			machineArguments: ['-serial', 'mon:stdio', '-serial', `unix:${path}`],
		});
		const ended = (async () => {
			for await (const _line of machine.lines());
		})();
		const [agent] = await connected;
		// QEMU keeps this connection, and no other one is expected
		server.close();
		const guest = new SystemdGuest(machine, agent, ended);
		if ((await guest.#answer()) !== 'ready') throw new Error('the first line of the agent in the guest is not "ready"');
		return guest;
	}

	async #answer(): Promise<string> {
		const { value, done } = await this.#answers.next();
		if (done) throw new Error(`the guest ${this.#machine.late ? 'took too long' : 'ended'}: ${this.#machine.log}`);
		return value;
	}

	/** Runs a shell script; one at a time. @throws Error if the guest has ended */
	async run(script: string): Promise<ScriptResult> {
		this.#agent.write(`${Buffer.from(script).toString('base64')}\n`);
		const [code = '', text = ''] = (await this.#answer()).split(' ');
		return { code: Number(code), text: Buffer.from(text, 'base64').toString() };
	}

	/** The properties of a unit, as `systemctl show` names them. */
	async status(unit: string): Promise<Readonly<Record<string, string>>> {
		const { text } = await this.run(`systemctl show ${unit}`);
		return Object.fromEntries(text.split('\n').map((line) => line.split(/=(.*)/s, 2)));
	}

	/** What a unit has logged, and systemd about it. */
	async journal(unit: string): Promise<JournalEntry[]> {
		const { text } = await this.run(`journalctl --sync && journalctl --quiet --output=json --unit=${unit}`);
		return text
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as JournalEntry);
	}

	/** The file with the serial output, which has the kernel's messages. */
	get log(): string {
		return this.#machine.log;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#machine.kill();
		this.#agent.destroy();
		await this.#ended;
	}
}
