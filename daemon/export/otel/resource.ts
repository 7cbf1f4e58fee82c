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
	serviceInstanceIdDetector,
} from '@opentelemetry/resources';
import { type AnyValue, AnyValueSchema, KeyValueSchema } from './proto/common.gen.ts';
import { type Resource as ResourceMessage, ResourceSchema } from './proto/resource.gen.ts';

/** By their names in OTEL_NODE_RESOURCE_DETECTORS. */
const detectorsByName: Readonly<Record<string, ResourceDetector>> = {
	host: hostDetector,
	os: osDetector,
	process: processDetector,
	serviceinstance: serviceInstanceIdDetector,
	env: envDetector,
};

/**
 * Without the detector for our own process, whose process.pid would appear beside that of a span,
 * which is the application's, and without the one whose service.instance.id is random.
 */
const defaultDetectors = ['host', 'os', 'env'];

export interface ResourceOptions {
	/** Version of toascope. */
	readonly version: string;
	/** The same after a restart. */
	readonly instanceId: string;
	/** Names of the detectors; undefined: the default ones. */
	readonly detectors: readonly string[] | undefined;
}

/**
 * Detects the resource. OTEL_RESOURCE_ATTRIBUTES and OTEL_SERVICE_NAME, which the last detector
 * reads, override what toascope states about itself.
 */
export async function createResource({ version, instanceId, detectors }: ResourceOptions): Promise<Resource> {
	const own = resourceFromAttributes({
		'service.name': 'toascope',
		'service.version': version,
		'service.instance.id': instanceId,
	});
	const chosen = detectors ?? defaultDetectors;
	const isChosen = (name: string) => chosen.includes('all') || chosen.includes(name);
	const detected = detectResources({
		detectors: Object.entries(detectorsByName).flatMap(([name, detector]) => (isChosen(name) ? [detector] : [])),
	});
	const resource = defaultResource().merge(own).merge(detected);
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
