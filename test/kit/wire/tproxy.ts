// SPDX-License-Identifier: Apache-2.0
/**
 * TPROXY in the server's namespace of a lab: redirects connections to one port to a listener on
 * another (nftables).
 */
import { execFileSync } from 'node:child_process';
import type { Lab } from '../../../daemon/lab/lab.ts';
import { runToExit } from '../../../daemon/lab/process.ts';
import { findTools } from '../../../daemon/lab/tools.ts';

/** The mark of packets that must be delivered locally. */
const mark = 1;
/** The routing table for these packets. */
const table = 100;

export function hasNft(): boolean {
	try {
		execFileSync('nft', ['--version'], { stdio: 'ignore' });
		return true;
	} catch {
		return false;
	}
}

/**
 * Redirects connections to the port, or to the range `FIRST-LAST`, to the listener, which needs
 * IP_TRANSPARENT.
 */
export async function tproxy(lab: Lab, port: number | string, listener: number): Promise<void> {
	const routes = `rule add fwmark ${mark} lookup ${table}\nroute add local default dev lo table ${table}\n`;
	for (const family of ['-4', '-6']) {
		const ip = lab.spawn('server', findTools().ip, [family, '-batch', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
		await runToExit(ip, 'ip', routes);
	}
	const rules = `table inet proxy {
	chain incoming {
		type filter hook prerouting priority mangle
		tcp dport ${port} tproxy to :${listener} meta mark set ${mark} accept
	}
}
`;
	const nft = lab.spawn('server', 'nft', ['-f', '-'], { stdio: ['pipe', 'ignore', 'pipe'] });
	await runToExit(nft, 'nft', rules);
}
