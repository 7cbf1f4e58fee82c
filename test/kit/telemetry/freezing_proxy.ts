// SPDX-License-Identifier: Apache-2.0
/**
 * A proxy between a scraper and a daemon. It can freeze the metrics, so that for the scraper
 * everything that happens meanwhile happens between two scrapes.
 */
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

interface Answer {
	readonly type: string;
	readonly body: string;
}

export class FreezingProxy implements AsyncDisposable {
	readonly #server: Server;
	readonly #url: () => string;
	#frozen: Answer | undefined;
	#accept = '';

	private constructor(url: () => string) {
		this.#url = url;
		this.#server = createServer(async (request, response) => {
			this.#accept = request.headers.accept ?? '';
			try {
				const { type, body } = this.#frozen ?? (await this.#ask());
				response.setHeader('content-type', type).end(body);
			} catch {
				response.writeHead(502).end();
			}
		});
	}

	/** `url` returns the URL of the current daemon. */
	static async open(url: () => string): Promise<FreezingProxy> {
		const proxy = new FreezingProxy(url);
		proxy.#server.listen(0, '127.0.0.1');
		await once(proxy.#server, 'listening');
		return proxy;
	}

	/** The address to scrape, `ADDR:PORT`. */
	get target(): string {
		return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
	}

	async #ask(): Promise<Answer> {
		const response = await fetch(`${this.#url()}/metrics`, { headers: { accept: this.#accept } });
		return { type: response.headers.get('content-type') ?? '', body: await response.text() };
	}

	/** Freezes the metrics: every scrape returns the same until unfreeze(). */
	async freeze(): Promise<void> {
		this.#frozen = await this.#ask();
	}

	unfreeze(): void {
		this.#frozen = undefined;
	}

	async [Symbol.asyncDispose](): Promise<void> {
		const closed = once(this.#server, 'close');
		this.#server.close();
		this.#server.closeAllConnections();
		await closed;
	}
}
