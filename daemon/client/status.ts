// SPDX-License-Identifier: Apache-2.0
/** Finds the running daemon and reads its `/v1/status`. */
import type { PeersJson, ReloadJson, StatusJson } from '../api/status.ts';
import { type Answer, type DaemonAddress, errorKindOf, getFromDaemon } from './daemon_client.ts';

/** Fields that an earlier version can lack. */
type NewerField =
	| 'attachments'
	| 'connection_retention'
	| 'not_ready'
	| 'otlp'
	| 'otlp_off'
	| 'own_http'
	| 'span_sampling';

export type Status = Omit<StatusJson, NewerField | 'peers'> &
	Partial<Pick<StatusJson, NewerField>> & { readonly peers: PeersJson };

/** A daemon that answered, or why none did. */
export type DaemonLookup =
	| { readonly address: DaemonAddress; readonly status: Status }
	| { readonly address: DaemonAddress; readonly error: unknown };

/**
 * Queries each address until a daemon answers. If none does: the error of the first address where a
 * process listens, otherwise of the first address. Undefined: no addresses.
 */
export async function findDaemon(addresses: readonly DaemonAddress[]): Promise<DaemonLookup | undefined> {
	const failed: Extract<DaemonLookup, { error: unknown }>[] = [];
	for (const address of addresses) {
		try {
			return { address, status: readStatus(await requestStatus(address)) };
		} catch (error) {
			failed.push({ address, error });
		}
	}
	return failed.find(({ error }) => errorKindOf(error) !== 'not_listening') ?? failed[0];
}

/** `fresh=on`: the counts include all connections up to now. An older daemon answers 400. */
async function requestStatus(address: DaemonAddress): Promise<Answer> {
	const fresh = await getFromDaemon(address, '/v1/status?peers=on&fresh=on');
	return fresh.status === 400 ? getFromDaemon(address, '/v1/status?peers=on') : fresh;
}

const mismatch = 'the server there is not toascope, or of another version';

/** How the reloads went. Read without peers, which would require a walk over all descriptors. */
export function readReloads(answer: Answer): ReloadJson {
	const reloads = readJson(answer).config_reload;
	if (typeof reloads?.attempts !== 'number') throw new Error(mismatch);
	return reloads;
}

function readStatus(answer: Answer): Status {
	const read = readJson(answer);
	if (typeof read.pid !== 'number' || read.config === undefined || read.peers === undefined) throw new Error(mismatch);
	// null: the daemon could not read the peers just now; `not_ready` says why
	return { ...(read as Status), peers: read.peers ?? { connections: 0, busiest: [], listening: [] } };
}

function readJson({ status, body }: Answer): Partial<StatusJson> {
	let read: Partial<StatusJson> | null;
	try {
		read = JSON.parse(body) as Partial<StatusJson> | null;
	} catch (cause) {
		throw new Error(mismatch, { cause });
	}
	if (status >= 500) throw new Error(`it answered with HTTP status ${status}`);
	if (read === null) throw new Error(mismatch);
	return read;
}
