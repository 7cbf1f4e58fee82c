// SPDX-License-Identifier: Apache-2.0
/** What a soak found, check by check. */

export interface Check {
	readonly name: string;
	readonly ok: boolean;
	readonly detail: string;
}

export class Checks {
	readonly all: Check[] = [];
	readonly #say: (text: string) => void;

	constructor(say: (text: string) => void) {
		this.#say = say;
	}

	add(name: string, ok: boolean, detail = ''): void {
		this.all.push({ name, ok, detail });
		this.#say(`${ok ? 'ok     ' : 'FAILED '} ${name}${detail === '' ? '' : `: ${detail}`}`);
	}

	/** What it returns is the detail; one that throws, or takes longer than `limitMs`, has failed. */
	async run(name: string, limitMs: number, work: () => Promise<string | undefined>): Promise<boolean> {
		try {
			this.add(name, true, await within(limitMs, work()));
			return true;
		} catch (error) {
			this.add(name, false, (error as Error).message);
			return false;
		}
	}
}

/** @throws {Error} when it takes longer */
export async function within<T>(limitMs: number, work: Promise<T>): Promise<T> {
	const { promise, reject } = Promise.withResolvers<never>();
	const timer = setTimeout(() => reject(new Error(`not within ${limitMs / 1000} s`)), limitMs);
	try {
		return await Promise.race([work, promise]);
	} finally {
		clearTimeout(timer);
	}
}

/** @throws {Error} that says what is and what should be */
export function same(what: string, is: unknown, shouldBe: unknown): void {
	const text = (value: unknown) =>
		JSON.stringify(value, (_key, member: unknown) => (typeof member === 'bigint' ? String(member) : member));
	if (text(is) !== text(shouldBe)) throw new Error(`${what}: ${text(is)}, and should be ${text(shouldBe)}`);
}
