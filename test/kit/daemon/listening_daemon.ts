// SPDX-License-Identifier: Apache-2.0
/**
 * A program that runs the daemon, also consumes every record of the ring, and on SIGUSR2 logs how
 * many records of each type it has received.
 */
import { once } from 'node:events';
import { loadConfig } from '../../../daemon/config/load.ts';
import type { ConnectionEvent } from '../../../daemon/model/connection.ts';
import { createLogger } from '../../../daemon/service/log.ts';
import { Service } from '../../../daemon/service/service.ts';

const [, , , , path] = process.argv;
const config = loadConfig({ path, env: process.env });
const logger = createLogger(config.log);
const received: Record<ConnectionEvent['type'], number> = { opened: 0, accepted: 0, closed: 0 };
// registered before the daemon logs that it is attached: from then on it must handle the signal
process.on('SIGUSR2', () => logger.info(received, 'received'));
const service = await Service.start(config, logger, { onEvent: ({ type }) => received[type]++ });
const keepAlive = setInterval(() => {}, 2 ** 31 - 1);
await once(process, 'SIGTERM');
clearInterval(keepAlive);
await service.stop();
