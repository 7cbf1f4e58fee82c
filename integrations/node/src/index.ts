// SPDX-License-Identifier: Apache-2.0
/** The real client of a connection behind a NAT64 gateway or an L4 load balancer. */
export { type ClientAttributes, clientAttributes, incomingSpanHook } from './attributes.ts';
export { type Client, clientOf } from './client.ts';
export type { ConnectionSource } from './descriptor.ts';
export { type Diagnosis, diagnose } from './diagnose.ts';
export type { Policy } from './server_span.ts';
export { ToascopeSpanProcessor, type ToascopeSpanProcessorOptions } from './span_processor.ts';
