// SPDX-License-Identifier: Apache-2.0
/** An OTLP/gRPC receiver on loopback, whose responses the test chooses. */
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { Metadata, Server, ServerCredentials, type ServerUnaryCall, type ServiceError, status } from '@grpc/grpc-js';

type Done = (error: Partial<ServiceError> | null, response: Buffer) => void;

interface ReceivedRequest {
	readonly service: keyof typeof services;
	readonly body: Buffer;
	readonly metadata: Metadata;
}

export interface GrpcReceiver {
	/** In the form of OTEL_EXPORTER_OTLP_ENDPOINT, unless the address is a path. */
	readonly endpoint: string;
	/** The requests that have arrived, with the service that they are for, and their metadata. */
	readonly requests: readonly ReceivedRequest[];
	close(): void;
}

const services = {
	metrics: 'metrics.v1.MetricsService',
	trace: 'trace.v1.TraceService',
	logs: 'logs.v1.LogsService',
} as const;

/** A failure with a google.rpc.RetryInfo, unless `delayMs` is undefined. */
export function busy(code: keyof typeof status, delayMs: number | undefined): Partial<ServiceError> {
	const metadata = new Metadata();
	if (delayMs !== undefined) metadata.set('grpc-status-details-bin', statusDetails(delayMs));
	return { code: status[code], details: 'busy', metadata };
}

/** A google.rpc.Status with a RetryInfo behind another detail, by the published field numbers. */
export function statusDetails(delayMs: number): Buffer {
	const field = (number: number, bytes: Uint8Array) =>
		new BinaryWriter().tag(number, WireType.LengthDelimited).bytes(bytes).finish();
	const integer = (number: number, value: number) =>
		new BinaryWriter().tag(number, WireType.Varint).int64(value).finish();
	const any = (name: string, value: Uint8Array) =>
		field(3, Buffer.concat([field(1, Buffer.from(`type.googleapis.com/google.rpc.${name}`)), field(2, value)]));
	const seconds = Math.floor(delayMs / 1000);
	const duration = Buffer.concat([integer(1, seconds), integer(2, (delayMs - 1000 * seconds) * 1e6)]);
	return Buffer.concat([
		integer(1, 8),
		field(2, Buffer.from('busy')),
		any('DebugInfo', field(1, Buffer.from('x'))),
		any('RetryInfo', field(1, duration)),
	]);
}

/** `answer` answers the request with this number (from 0); default: accepted. It can never call `done`. */
export async function startGrpcReceiver(
	answer: (request: number, done: Done) => void = (_request, done) => done(null, Buffer.alloc(0)),
	/** `HOST:PORT`, where port 0 selects a free one, or `unix:PATH`. */
	address = '127.0.0.1:0',
	/** A key and a certificate, in PEM: the receiver speaks TLS. */
	tls?: { readonly key: Buffer; readonly cert: Buffer },
): Promise<GrpcReceiver> {
	const requests: ReceivedRequest[] = [];
	const asIs = (message: Buffer) => message;
	const server = new Server();
	for (const [service, name] of Object.entries(services) as [keyof typeof services, string][]) {
		const method = {
			path: `/opentelemetry.proto.collector.${name}/Export`,
			requestStream: false as const,
			responseStream: false as const,
			requestSerialize: asIs,
			requestDeserialize: asIs,
			responseSerialize: asIs,
			responseDeserialize: asIs,
		};
		server.addService(
			{ export: method },
			{
				export({ request, metadata }: ServerUnaryCall<Buffer, Buffer>, done: Done) {
					answer(requests.push({ service, body: request, metadata }) - 1, done);
				},
			},
		);
	}
	const credentials =
		tls === undefined
			? ServerCredentials.createInsecure()
			: ServerCredentials.createSsl(null, [{ private_key: tls.key, cert_chain: tls.cert }]);
	const bound = await new Promise<number>((resolve, reject) =>
		server.bindAsync(address, credentials, (error, number) => (error ? reject(error) : resolve(number))),
	);
	const scheme = tls === undefined ? 'http' : 'https';
	return {
		endpoint: `${scheme}://${address.replace(/:0$/, `:${bound}`)}`,
		requests,
		close: () => server.forceShutdown(),
	};
}
