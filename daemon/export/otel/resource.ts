// SPDX-License-Identifier: Apache-2.0
/** The resource of all signals: this daemon, on this host. */
import { create } from '@bufbuild/protobuf';
import {
	defaultResource,
	detectResources,
	envDetector,
	hostDetector,
	osDetector,
	processDetector,
	type Resource,
	type ResourceDetector,
	resourceFromAttributes,
} from '@opentelemetry/resources';
import { type AnyValue, AnyValueSchema, KeyValueSchema } from './proto/common.gen.ts';
import { type Resource as ResourceMessage, ResourceSchema } from './proto/resource.gen.ts';

/** By their names in OTEL_NODE_RESOURCE_DETECTORS. */
const detectorsByName: Readonly<Record<string, ResourceDetector>> = {
	host: hostDetector,
	os: osDetector,
	process: processDetector,
};

/**
 * Without the detector for our own process: its process.pid would appear beside that of a span,
 * which is the application's.
 */
const defaultDetectors = ['host', 'os'];

export interface ResourceOptions {
	/** Version of toascope. */
	readonly version: string;
	/** The same after a restart. */
	readonly instanceId: string;
	/** Names of the detectors; undefined: the default ones. */
	readonly detectors: readonly string[] | undefined;
}

/**
 * Detects the resource. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME override everything else.
 */
export async function createResource({ version, instanceId, detectors }: ResourceOptions): Promise<Resource> {
	const own = resourceFromAttributes({
		'service.name': 'toascope',
		'service.version': version,
		'service.instance.id': instanceId,
	});
	const chosen = detectors ?? defaultDetectors;
	const isChosen = (name: string) => chosen.includes('all') || chosen.includes(name);
	const detect = (detectors: ResourceDetector[]) => detectResources({ detectors });
	const ofHost = detect(Object.entries(detectorsByName).flatMap(([name, one]) => (isChosen(name) ? [one] : [])));
	// the variables are not only for a detector that can be switched off
	const resource = defaultResource()
		.merge(ofHost)
		.merge(own)
		.merge(detect([envDetector]));
	await resource.waitForAsyncAttributes?.();
	return resource;
}

export function resourceMessage({ attributes }: Resource): ResourceMessage {
	return create(ResourceSchema, {
		attributes: Object.entries(attributes).flatMap(([key, value]) =>
			value === undefined ? [] : [create(KeyValueSchema, { key, value: anyValue(value) })],
		),
	});
}

function anyValue(value: unknown): AnyValue {
	if (typeof value === 'boolean') return create(AnyValueSchema, { value: { case: 'boolValue', value } });
	if (typeof value === 'number') {
		return create(AnyValueSchema, {
			value: Number.isSafeInteger(value) ? { case: 'intValue', value: BigInt(value) } : { case: 'doubleValue', value },
		});
	}
	if (Array.isArray(value)) {
		return create(AnyValueSchema, { value: { case: 'arrayValue', value: { values: value.map(anyValue) } } });
	}
	return create(AnyValueSchema, { value: { case: 'stringValue', value: String(value) } });
}
