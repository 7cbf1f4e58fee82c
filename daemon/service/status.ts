// SPDX-License-Identifier: Apache-2.0
/**
 * The response of `/v1/status`: what runs here, the configuration in force, and the traffic of the
 * last minutes.
 */
import { release } from 'node:os';
import { native } from '../../native/binding.ts';
import type { OtlpJson, RecentJson, ReloadJson, StatusJson, TallyJson } from '../api/status.ts';
import type { Provider } from '../capture/provider.ts';
import { type Config, displayValues } from '../config/config.ts';
import { setVariables } from '../config/environment.ts';
import { ToascopeError } from '../errors.ts';
import type { OtlpStatus } from '../export/otel/signal_health.ts';
import type { NotReady } from '../http/view.ts';
import type { Endpoint } from '../model/address.ts';
import type { Retention } from '../model/lookup.ts';
import { type ListenerTally, type RecentTraffic, sumOf, type Tally, totalOf } from '../model/recent.ts';
import type { Snapshot } from '../model/snapshot.ts';
import { readLoaded } from '../module/loaded.ts';
import { version } from '../version.ts';
import { ownListeners } from './own_http.ts';
import type { Reload } from './reload.ts';

/** Listeners with entries of their own in `recent`. */
const listenersMax = 100;

export interface StatusInput {
	readonly provider: Provider;
	readonly config: Config;
	/** Undefined: there is none, and the defaults apply. */
	readonly configFile: string | undefined;
	readonly reload: Reload;
	readonly startedMs: number;
	/** Undefined: no connection can be looked up. */
	readonly retention: Retention | undefined;
	/** Undefined: spans are not sent. */
	readonly spanRatios: { readonly configured: number; readonly current: number } | undefined;
	/** Each signal that is sent over OTLP. */
	readonly otlp: readonly OtlpStatus[];
	/** The signals that a variable disables, with that variable. */
	readonly otlpOff: StatusJson['otlp_off'];
	readonly notReady: readonly NotReady[];
	/** Undefined before the first collection. */
	readonly snapshot: Snapshot | undefined;
	readonly recent: RecentTraffic | undefined;
	/** Where `http.listen` serves; undefined: nowhere. */
	readonly listening: Endpoint | undefined;
}

/** The whole response except `peers`. */
export function statusJson(facts: StatusInput): StatusJson {
	const { provider, config, reload, snapshot, recent } = facts;
	return {
		version,
		node: process.versions.node,
		libbpf: native().libbpfVersion,
		pid: process.pid,
		kernel: release(),
		started_at: new Date(facts.startedMs).toISOString(),
		provider: provider.name,
		accept_program: provider.acceptProgram,
		cgroup: provider.tracker?.cgroup ?? null,
		whole_host: provider.tracker?.wholeHost ?? true,
		adopted: provider.tracker?.adopted ?? false,
		trust: config.trust.map(({ text }) => text),
		profiles: config.profiles.map(({ name }) => name),
		transparent: config.transparent.enabled,
		sockopt: config.sockopt.enabled,
		spans: facts.spanRatios !== undefined,
		span_sampling: facts.spanRatios ?? null,
		connection_retention: retentionJson(facts.retention),
		otlp: facts.otlp.map(otlpJson),
		otlp_off: facts.otlpOff,
		not_ready: facts.notReady,
		attachments: provider.attachments.programs.map(({ program, id, attached }) => ({
			program,
			id: id ?? null,
			attached,
		})),
		refused_features: Object.fromEntries(Object.entries(provider.features).filter(([, errno]) => errno !== '')),
		config: {
			file: facts.configFile ?? null,
			variables: setVariables(process.env),
			values: displayValues(config),
		},
		config_reload: {
			successful: reload.successful,
			success_at: new Date(reload.successAtMs).toISOString(),
			attempts: reload.attempts,
			error: reload.error === undefined ? null : errorJson(reload.error),
			restart_keys: reload.restartKeys,
		},
		collected_at: snapshot === undefined ? null : new Date(snapshot.atMs).toISOString(),
		total: snapshot === undefined ? null : tallyJson(totalOf(snapshot)),
		recent: recent === undefined ? null : recentJson(recent),
		own_http: snapshot === undefined || recent === undefined ? null : ownHttpJson(snapshot, recent, facts.listening),
		maps: snapshot?.maps ?? [],
		module: provider.name === 'module' ? moduleJson(snapshot) : null,
	};
}

function otlpJson({ signal, url, failing, rejection, ...counts }: OtlpStatus): OtlpJson {
	const { exported, rejected, failedRequests, succeededAtMs } = counts;
	const trouble = (one: OtlpStatus['failing']) =>
		one === undefined ? null : { at: new Date(one.atMs).toISOString(), message: one.message };
	return {
		signal,
		url,
		...decimals({ exported, rejected, failed_requests: failedRequests }),
		succeeded_at: succeededAtMs === undefined ? null : new Date(succeededAtMs).toISOString(),
		failing: trouble(failing),
		rejection: trouble(rejection),
	};
}

function errorJson(error: unknown): ReloadJson['error'] {
	if (error instanceof ToascopeError) return { code: error.code, message: error.message, hint: error.hint ?? null };
	return { code: '', message: error instanceof Error ? error.message : String(error), hint: null };
}

function moduleJson(snapshot: Snapshot | undefined): StatusJson['module'] {
	const { version: own, srcversion } = readLoaded() ?? {};
	return { version: own ?? null, srcversion: srcversion ?? null, events: decimals(snapshot?.moduleEvents ?? {}) };
}

/** The part of `total` and `recent` that is connections to this daemon's HTTP. */
function ownHttpJson(
	snapshot: Snapshot,
	recent: RecentTraffic,
	listening: Endpoint | undefined,
): StatusJson['own_http'] {
	const names = ownListeners(snapshot, listening);
	const isOwn = ({ listener }: { readonly listener: string }) => names.has(listener);
	return {
		listeners: [...names],
		total: tallyJson(totalOf({ listeners: snapshot.listeners.filter(isOwn) })),
		recent: tallyJson(sumOf(recent.listeners.filter(isOwn))),
	};
}

/** Each integer as a decimal string. */
function decimals<K extends string>(integers: Readonly<Record<K, bigint>>): Record<K, string> {
	return Object.fromEntries(Object.entries(integers).map(([name, value]) => [name, String(value)])) as Record<
		K,
		string
	>;
}

function tallyJson(tally: Tally): TallyJson {
	const { opened, toa, none, malformed, untrusted, conflict } = tally;
	return decimals({
		opened,
		toa,
		none,
		malformed,
		untrusted,
		conflict,
		health_checks: tally.healthChecks,
		lost_options: tally.missingOptions,
		hidden_by_family: tally.hiddenByFamily,
		options_syn: tally.onSyn,
		options_ack: tally.onAck,
		options_data: tally.onData,
	});
}

function recentJson({ seconds, total, listeners, drops, unknownOptions }: RecentTraffic): RecentJson {
	return {
		seconds,
		total: tallyJson(total),
		listeners: listeners.slice(0, listenersMax).map((each: ListenerTally) => ({
			listener: each.listener,
			...tallyJson(each),
			had_client_before: String(each.hadClientBefore),
		})),
		drops: decimals(drops),
		unknown_options: unknownOptions.map(({ kind, length, connections }) => ({
			kind,
			length,
			connections: String(connections),
		})),
	};
}

function retentionJson(retention: Retention | undefined): StatusJson['connection_retention'] {
	if (retention === undefined) return null;
	const { retainedNs, slotNs } = retention;
	return { seconds: Number(retainedNs) / 1e9, slot_seconds: slotNs === undefined ? null : Number(slotNs) / 1e9 };
}
