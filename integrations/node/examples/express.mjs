// SPDX-License-Identifier: Apache-2.0
/** Express: a middleware makes the client available as `request.client`. */
import { clientOf } from '@toascope/node';
import express from 'express';

const app = express();

app.use((request, _response, next) => {
	request.client = clientOf(request);
	next();
});

app.get('/{*path}', (request, response) => {
	response.json({ client: request.client?.address ?? request.ip });
});

const port = Number(process.env.PORT ?? 3000);
app.listen(port, '0.0.0.0', () => console.log(`listening on ${port}`));
