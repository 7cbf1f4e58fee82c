// SPDX-License-Identifier: Apache-2.0
/** What the running daemon says of itself: `/v1/status?peers=on`, and where it is found. */
import type { ProviderName } from '../capture/provider.ts';
import { type Answer, ask, kindOf, type Place } from './ask.ts';

/** 64-bit integers arrive as decimal strings. */
export interface TallyJson {
	readonly opened: string;
	readonly toa: string;
	readonly none: string;
	readonly malformed: string;
	readonly untrusted: string;
	readonly conflict: string;
	/** Of `none`: trusted and without data. */
	readonly health_checks: string;
	/** Of `none`: trusted and with data. */
	readonly lost_options: string;
	readonly hidden_by_family: string;
	readonly options_syn: string;
	readonly options_ack: string;
	readonly options_data: string;
}

/** A listening TCP socket. */
export interface ListeningJson {
	/** `ADDR:PORT`. */
	readonly local: string;
	readonly pid: number;
	readonly comm: string;
	/** TCP_DEFER_ACCEPT. */
	readonly defers_accept: boolean;
}

export interface RecentJson {
	readonly seconds: number;
	readonly total: TallyJson;
	readonly listeners: readonly (TallyJson & { readonly listener: string; readonly believed_before: string })[];
	readonly drops: Readonly<Record<string, string>>;
	readonly unknown_options: readonly {
		readonly kind: number;
		readonly length: number;
		readonly connections: string;
	}[];
}

export interface PeerJson {
	readonly address: string;
	readonly verdict: string;
	readonly listener: string;
	readonly trusted: boolean;
	readonly connections: number;
}

/** What we read of it. */
export interface Status {
	readonly version: string;
	readonly pid: number;
	readonly started_at: string;
	readonly provider: ProviderName;
	readonly adopted: boolean;
	/** Undefined: of an earlier version. */
	readonly attachments?: readonly {
		readonly program: string;
		/** The number by which the kernel knows it. */
		readonly id: number | null;
		readonly attached: boolean;
	}[];
	readonly accept_program: string;
	readonly cgroup: string;
	readonly whole_host: boolean;
	readonly refused_features: Readonly<Record<string, string>>;
	readonly config: {
		readonly file: string | null;
		readonly variables: readonly string[];
		/** As the file would have them, by key. */
		readonly values: Readonly<Record<string, unknown>>;
	};
	readonly config_reload: {
		readonly successful: boolean;
		readonly success_at: string;
		/** Since the start. */
		readonly attempts: number;
		/** What the last one failed with. */
		readonly error: { readonly code: string; readonly message: string; readonly hint: string | null } | null;
		/** Keys that the file has otherwise, and that take a restart. */
		readonly restart_keys: readonly string[];
	};
	readonly total: TallyJson | null;
	/** Of a daemon before this version: absent. */
	readonly not_ready?: readonly { readonly reason: string; readonly text: string }[];
	readonly recent: RecentJson | null;
	/** Of both, connections to the daemon's own HTTP; null before the first collection, absent of a daemon before this version. */
	readonly own_http?: {
		readonly listeners: readonly string[];
		readonly total: TallyJson;
		readonly recent: TallyJson;
	} | null;
	readonly maps: readonly { readonly map: string; readonly entries: number; readonly capacity: number }[];
	readonly peers: {
		readonly connections: number;
		readonly busiest: readonly PeerJson[];
		/** Those on ports that are watched; empty where the kernel does not show them. */
		readonly listening: readonly ListeningJson[];
	};
}

/** A daemon that answered, or why none did. */
export type Found =
	| { readonly place: Place; readonly status: Status }
	| { readonly place: Place; readonly error: unknown };

/** Asks at each place until a daemon answers. Without one: at the first place where anybody is, else at the first. */
export async function findDaemon(places: readonly Place[]): Promise<Found | undefined> {
	const failed: Extract<Found, { error: unknown }>[] = [];
	for (const place of places) {
		try {
			return { place, status: readStatus(await askStatus(place)) };
		} catch (error) {
			failed.push({ place, error });
		}
	}
	return failed.find(({ error }) => kindOf(error) !== 'nobody') ?? failed[0];
}

/** What connections of this moment brought must be in it. One of an earlier version knows nothing of that. */
async function askStatus(place: Place): Promise<Answer> {
	const fresh = await ask(place, '/v1/status?peers=on&fresh=on');
	return fresh.status === 400 ? ask(place, '/v1/status?peers=on') : fresh;
}

const other = 'what answers there is not toascope, or one of another version';

/** Of what a daemon says without being asked for its peers, which cost a walk over all descriptors: how its reloads went. */
export function readReloads(answer: Answer): Status['config_reload'] {
	const reloads = readJson(answer).config_reload;
	if (typeof reloads?.attempts !== 'number') throw new Error(other);
	return reloads;
}

function readStatus(answer: Answer): Status {
	const read = readJson(answer);
	if (typeof read.pid !== 'number' || read.config === undefined || read.peers === undefined) throw new Error(other);
	// null: the daemon could not read them just now, and says why it is not ready
	return { ...(read as Status), peers: read.peers ?? { connections: 0, busiest: [] } };
}

function readJson({ status, body }: Answer): Partial<Status> {
	let read: Partial<Status> | null;
	try {
		read = JSON.parse(body) as Partial<Status> | null;
	} catch (cause) {
		throw new Error(other, { cause });
	}
	if (status >= 500) throw new Error(`it answered with status ${status}`);
	if (read === null) throw new Error(other);
	return read;
}
