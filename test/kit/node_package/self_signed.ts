// SPDX-License-Identifier: Apache-2.0
/** A key and a certificate that signs itself, from openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export function selfSigned(): { readonly key: Buffer; readonly cert: Buffer } {
	const directory = mkdtempSync(join(tmpdir(), 'toascope-test-'));
	const [key, cert] = [join(directory, 'key'), join(directory, 'cert')];
	const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=localhost'];
	try {
		execFileSync('openssl', ['req', ...options, '-keyout', key, '-out', cert], { stdio: 'pipe' });
		return { key: readFileSync(key), cert: readFileSync(cert) };
	} finally {
		rmSync(directory, { recursive: true });
	}
}
