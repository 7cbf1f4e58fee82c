// SPDX-License-Identifier: Apache-2.0
/** An OTLP/gRPC receiver on loopback, whose responses the test chooses. */
import { type Metadata, Server, ServerCredentials, type ServerUnaryCall, type ServiceError } from '@grpc/grpc-js';

type Done = (error: Partial<ServiceError> | null, response: Buffer) => void;

export interface GrpcReceiver {
	/** In the form of OTEL_EXPORTER_OTLP_ENDPOINT. */
	readonly endpoint: string;
	/** The requests that have arrived, and their metadata. */
	readonly requests: readonly { readonly body: Buffer; readonly metadata: Metadata }[];
	close(): void;
}

const paths = ['metrics.v1.MetricsService', 'trace.v1.TraceService', 'logs.v1.LogsService'];

/** `answer` answers the request with this number (from 0); default: accepted. It can never call `done`. */
export async function startGrpcReceiver(
	answer: (request: number, done: Done) => void = (_request, done) => done(null, Buffer.alloc(0)),
	port = 0,
): Promise<GrpcReceiver> {
	const requests: { body: Buffer; metadata: Metadata }[] = [];
	const asIs = (message: Buffer) => message;
	const server = new Server();
	for (const service of paths) {
		const method = {
			path: `/opentelemetry.proto.collector.${service}/Export`,
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
					answer(requests.push({ body: request, metadata }) - 1, done);
				},
			},
		);
	}
	const bound = await new Promise<number>((resolve, reject) =>
		server.bindAsync(`127.0.0.1:${port}`, ServerCredentials.createInsecure(), (error, number) =>
			error ? reject(error) : resolve(number),
		),
	);
	return { endpoint: `http://127.0.0.1:${bound}`, requests, close: () => server.forceShutdown() };
}
