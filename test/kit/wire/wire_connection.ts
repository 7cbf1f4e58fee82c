// SPDX-License-Identifier: Apache-2.0
/** One TCP connection made by hand, from the client's side. */
import type { Content, Endpoints, Segment } from './segment.ts';

/** What a segment carries besides its flags. */
export interface SegmentOptions {
	/** Hex. */
	readonly options?: string | undefined;
	/** One byte for each character. */
	readonly data?: string | undefined;
	/** Sequence number, counted from the first byte of data. Default: the next one. */
	readonly at?: number;
	/**
	 * Acknowledgment number, counted from the first byte of the server's data. Default: everything
	 * passed to markReceived().
	 */
	readonly acknowledging?: number;
}

const before = (a: number, b: number) => ((a - b) | 0) < 0;

export class WireConnection {
	readonly endpoints: Endpoints;
	/** ADDRESS:PORT as the server sees it. */
	readonly peer: string;
	readonly #send: (content: Content) => void;
	readonly #initial: number;
	readonly #received: Segment[] = [];
	readonly #waiting = new Set<() => void>();
	/** The next sequence number to send, and the next one expected from the server. */
	#seq: number;
	#ack = 0;
	#theirInitial = 0;

	constructor(endpoints: Endpoints, send: (content: Content) => void, initial = 1_000_000) {
		const { from, fromPort } = endpoints;
		this.endpoints = endpoints;
		this.peer = from.includes(':') ? `[${from}]:${fromPort}` : `${from}:${fromPort}`;
		this.#send = send;
		this.#initial = initial;
		this.#seq = initial;
	}

	/** The next sequence number to send. */
	get nextSeq(): number {
		return this.#seq >>> 0;
	}

	/** Called when a segment has arrived. */
	receive(segment: Segment): void {
		this.#received.push(segment);
		for (const check of this.#waiting) check();
	}

	/**
	 * Resolves with the first segment that matches and that no earlier call has returned. It can
	 * have arrived already.
	 */
	next(matches: (segment: Segment) => boolean): Promise<Segment> {
		return new Promise((resolve) => {
			const check = () => {
				const index = this.#received.findIndex(matches);
				if (index < 0) return;
				this.#waiting.delete(check);
				const [found] = this.#received.splice(index, 1);
				resolve(found as Segment);
			};
			this.#waiting.add(check);
			check();
		});
	}

	/**
	 * Sends a segment with any flags. Data, SYN and FIN occupy sequence numbers and advance the
	 * next one.
	 */
	send(flags: string, { options, data = '', at, acknowledging }: SegmentOptions = {}): void {
		const seq = at === undefined ? this.#seq : this.#initial + 1 + at;
		const ack = acknowledging === undefined ? this.#ack : this.#theirInitial + 1 + acknowledging;
		this.#send({ flags, seq, ack: flags.includes('A') ? ack : 0, options, data });
		const length = data.length + (flags.includes('S') ? 1 : 0) + (flags.includes('F') ? 1 : 0);
		if (length > 0 && before(this.#seq, seq + length)) this.#seq = seq + length;
	}

	/** Segments sent from now on acknowledge this segment and all before it. */
	markReceived({ flags, seq, length }: Segment): void {
		this.#ack = seq + length + (/[SF]/.test(flags) ? 1 : 0);
	}

	syn(more: SegmentOptions = {}): void {
		this.send('S', { at: -1, ...more });
	}

	/** Waits for the SYN-ACK. */
	async synAck(): Promise<Segment> {
		const segment = await this.next(({ flags }) => flags === 'SA');
		this.#theirInitial = segment.seq;
		this.markReceived(segment);
		return segment;
	}

	acknowledge(options?: string): void {
		this.send('A', { options });
	}

	data(data: string, more: Omit<SegmentOptions, 'data'> = {}): void {
		this.send('PA', { ...more, data });
	}

	fin(more: SegmentOptions = {}): void {
		this.send('FA', more);
	}

	reset(more: SegmentOptions = {}): void {
		this.send('RA', more);
	}

	/** Opens the connection: SYN, SYN-ACK, and the ACK with these options. */
	async open(options?: string): Promise<this> {
		this.syn();
		await this.synAck();
		this.acknowledge(options);
		return this;
	}

	/** Resolves when the server has acknowledged this many bytes of data. */
	async acknowledged(bytes: number): Promise<void> {
		const wanted = (this.#initial + 1 + bytes) >>> 0;
		await this.next(({ flags, ack }) => flags.includes('A') && !before(ack, wanted));
	}

	/** Waits for the server's FIN, which the caller passes to markReceived(). */
	finished(): Promise<Segment> {
		return this.next(({ flags }) => flags.includes('F'));
	}
}
