// SPDX-License-Identifier: Apache-2.0
/** All log lines about the state of toascope: docs/reference/log.md is generated from them. */
import { attachmentLines } from './log_lines/attachments.ts';
import { httpLines } from './log_lines/http.ts';
import { moduleLines } from './log_lines/module.ts';
import { neighbourLines } from './log_lines/neighbours.ts';
import { operationLines } from './log_lines/operation.ts';
import { otlpLines } from './log_lines/otlp.ts';
import { pinLines } from './log_lines/pins.ts';
import { processLines } from './log_lines/process.ts';
import { startLines } from './log_lines/start.ts';

export const logLines = {
	...startLines,
	...moduleLines,
	...attachmentLines,
	...neighbourLines,
	...pinLines,
	...operationLines,
	...httpLines,
	...otlpLines,
	...processLines,
} as const;
