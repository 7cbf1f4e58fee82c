// SPDX-License-Identifier: Apache-2.0
/* node server.cjs PORT: answers every request; written without regard to OpenTelemetry or TOA. */
const http = require('node:http');

const server = http.createServer((_request, response) => response.end('ok\n'));
server.listen(Number(process.argv[2]), '0.0.0.0', () => console.log('ready'));
