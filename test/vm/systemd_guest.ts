// SPDX-License-Identifier: Apache-2.0
/**
 * A guest in which systemd is init, on a fresh small Debian, with this tree at /opt/toascope: runs commands there as root, and
 * gives back what systemd and the journal know of a unit. What it writes is gone with it.
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
	/** Where the initramfs and the serial log go. */
	readonly directory: string;
	/** The guest's own limit. */
	readonly limitSeconds: number;
	/** More for the kernel's command line. */
	readonly kernelArguments?: readonly string[];
}

export interface Said {
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

	/** Resolves when systemd has reached multi-user.target. @throws Unavailable; Error when the guest ends before. */
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
		// QEMU keeps its end to itself
		server.close();
		const guest = new SystemdGuest(machine, agent, ended);
		if ((await guest.#answer()) !== 'ready') throw new Error('the agent in the guest says something else');
		return guest;
	}

	async #answer(): Promise<string> {
		const { value, done } = await this.#answers.next();
		if (done) throw new Error(`the guest ${this.#machine.late ? 'hung' : 'ended'}: ${this.#machine.log}`);
		return value;
	}

	/** Runs a script of sh, one at a time. @throws Error when the guest has ended */
	async run(script: string): Promise<Said> {
		this.#agent.write(`${Buffer.from(script).toString('base64')}\n`);
		const [code = '', text = ''] = (await this.#answer()).split(' ');
		return { code: Number(code), text: Buffer.from(text, 'base64').toString() };
	}

	/** The properties of a unit, as `systemctl show` names them. */
	async status(unit: string): Promise<Readonly<Record<string, string>>> {
		const { text } = await this.run(`systemctl show ${unit}`);
		return Object.fromEntries(text.split('\n').map((line) => line.split(/=(.*)/s, 2)));
	}

	/** What a unit, and systemd about it, have written. */
	async journal(unit: string): Promise<JournalEntry[]> {
		const { text } = await this.run(`journalctl --sync && journalctl --quiet --output=json --unit=${unit}`);
		return text
			.split('\n')
			.filter((line) => line !== '')
			.map((line) => JSON.parse(line) as JournalEntry);
	}

	/** The serial line: the kernel's words. */
	get log(): string {
		return this.#machine.log;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		this.#machine.kill();
		this.#agent.destroy();
		await this.#ended;
	}
}
