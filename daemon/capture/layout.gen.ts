// SPDX-License-Identifier: Apache-2.0
/** Made from bpf/records.h by scripts/generate-layout.ts: sizes and offsets in bytes. */

export const prefixLayout = {
	size: 20,
	mask: 0,
	length: 16,
} as const;

export const toaProfileLayout = {
	size: 16,
	id: 0,
	kind: 1,
	length: 2,
	family: 3,
	portAt: 4,
	addressAt: 5,
	onSyn: 6,
	version: 7,
	priority: 8,
	pick: 9,
	uses: 10,
	vipAt: 11,
	vportAt: 12,
	vniAt: 13,
	vniForm: 14,
} as const;

export const toaTableLayout = {
	size: 16992,
	profile: 0,
	slot: 512,
	priority: 16896,
	pick: 16928,
	uses: 16960,
} as const;

export const settingsLayout = {
	size: 17072,
	generation: 0,
	events: 4,
	trustAny: 8,
	transparent: 9,
	sockopt: 10,
	readSyn: 11,
	splitUses: 12,
	virtualServers: 13,
	netns: 16,
	retainNs: 24,
	servedCgroup: 32,
	prefix: 40,
	table: 80,
} as const;

export const portBitsLayout = {
	size: 16,
	watched: 0,
	transparent: 8,
} as const;

export const trustKeyLayout = {
	size: 28,
	prefixLength: 0,
	generation: 4,
	family: 8,
	address: 12,
} as const;

export const endpointLayout = {
	size: 20,
	address: 0,
	port: 16,
	family: 18,
} as const;

export const listenerKeyLayout = {
	size: 20,
	local: 0,
} as const;

export const listenerSlotLayout = {
	size: 32,
	key: 0,
	service: 20,
	activeNs: 24,
} as const;

export const listenerRequestLayout = {
	size: 24,
	key: 0,
	slot: 20,
} as const;

export const trafficLayout = {
	size: 64,
	opened: 0,
	closed: 8,
	receivedBytes: 16,
	sentBytes: 24,
	retransmittedSegments: 32,
	rttSumNs: 40,
	rttCount: 48,
	durationSumNs: 56,
} as const;

export const histogramLayout = {
	size: 200,
	sumNs: 0,
	buckets: 8,
} as const;

export const listenerLayout = {
	size: 1808,
	total: 0,
	direct: 64,
	overflow: 128,
	folded: 192,
	unshown: 256,
	handshakes: 320,
	options: 368,
	accepts: 1136,
	withoutOption: 1168,
	hiddenByFamily: 1200,
	rtt: 1208,
	duration: 1408,
	acceptWait: 1608,
} as const;

export const clientKeyLayout = {
	size: 40,
	address: 0,
	family: 16,
	prefixLength: 17,
	listener: 20,
} as const;

export const clientLayout = {
	size: 88,
	traffic: 0,
	createdNs: 64,
	activeNs: 72,
	tag: 80,
} as const;

export const exportedLayout = {
	size: 72,
	base: 0,
	sinceNs: 64,
} as const;

export const foldRequestLayout = {
	size: 112,
	key: 0,
	shown: 40,
	base: 48,
} as const;

export const reapRequestLayout = {
	size: 24,
	flushedNs: 0,
	place: 8,
	protocol: 12,
	run: 16,
	netns: 20,
} as const;

export const toaVirtualLayout = {
	size: 24,
	address: 0,
	port: 16,
	family: 18,
	hasVni: 19,
	vni: 20,
} as const;

export const connectionLayout = {
	size: 184,
	cookie: 0,
	openedNs: 8,
	acceptedNs: 16,
	closedNs: 24,
	receivedBytes: 32,
	sentBytes: 40,
	cgroupId: 48,
	retransmittedSegments: 56,
	srttUs: 60,
	netns: 64,
	pid: 68,
	local: 72,
	peer: 92,
	client: 112,
	virtualServer: 132,
	comm: 156,
	verdict: 172,
	profile: 173,
	segment: 174,
	seen: 175,
	flushed: 176,
	listener: 180,
	inOverflow: 182,
	missed: 183,
} as const;

export const eventLayout = {
	size: 192,
	type: 0,
	connection: 8,
} as const;

export const ownerLayout = {
	size: 72,
	local: 0,
	netns: 20,
	pid: 24,
	cgroupId: 32,
	startedNs: 40,
	comm: 48,
	fd: 64,
	keepsSyns: 68,
	keptForUs: 69,
	defersAccept: 70,
	transparent: 71,
} as const;

export const unknownOptionLayout = {
	size: 2,
	kind: 0,
	length: 1,
} as const;

export const limit = {
	TOASCOPE_LAYOUT: 6,
	HISTOGRAM_BUCKETS: 24,
	SEGMENTS: 3,
	COMM_SIZE: 16,
	PORT_WORDS: 1024,
	PROFILE_SLOTS: 32,
	LIST_SIZE: 64,
	ABSENT: 0,
	NO_PLACE: 18446744073709552000,
	OTHER_LISTENER: 0,
	TAGS_IN_LINE: 16,
	UNKNOWN_OPTIONS: 64,
} as const;

export const firstBound = {
	RTT_FIRST_NS: 62500,
	DURATION_FIRST_NS: 1000000,
	ACCEPT_WAIT_FIRST_NS: 62500,
} as const;

export const family = {
	FAMILY_NONE: 0,
	FAMILY_IPV4: 4,
	FAMILY_IPV6: 6,
} as const;

export const verdict = {
	VERDICT_PENDING: 0,
	VERDICT_TOA: 1,
	VERDICT_NONE: 2,
	VERDICT_MALFORMED: 3,
	VERDICT_UNTRUSTED: 4,
	VERDICT_CONFLICT: 5,
	VERDICTS: 6,
} as const;

export const segment = {
	SEGMENT_NONE: 0,
	SEGMENT_SYN: 1,
	SEGMENT_ACK: 2,
	SEGMENT_DATA: 3,
} as const;

export const seen = {
	SEEN_NOT: 0,
	SEEN_FEXIT: 1,
	SEEN_GETPEERNAME: 2,
	SEEN_UNSEEN: 3,
	SEENS: 4,
} as const;

export const withoutOption = {
	WITHOUT_UNTRUSTED_NO_DATA: 0,
	WITHOUT_UNTRUSTED_DATA: 1,
	WITHOUT_TRUSTED_NO_DATA: 2,
	WITHOUT_TRUSTED_DATA: 3,
	WITHOUT_KINDS: 4,
} as const;

export const drop = {
	DROP_SOCKET_STORAGE: 0,
	DROP_LISTENERS_FULL: 1,
	DROP_CLIENTS_FULL: 2,
	DROP_CONNECTIONS_FULL: 3,
	DROP_CONNECTION_EVICTED: 4,
	DROP_CONNECTION_SLOT: 5,
	DROP_RING_FULL: 6,
	DROP_CLIENT_FOLDING: 7,
	DROP_UNKNOWN_OPTIONS_FULL: 8,
	DROP_SYN_NOT_KEPT: 9,
	DROP_LISTENER_SLOT: 10,
	DROP_CLOSE_UNHEARD: 11,
	DROP_ANNOUNCED_FULL: 12,
	DROP_CLIENTS_BUSY: 13,
	DROP_ANNOUNCED_BUSY: 14,
	DROP_ANNOUNCED_STALE: 15,
	DROP_SYN_MISSING: 16,
	DROP_ANSWERS: 17,
	DROPS: 18,
} as const;

export const eventType = {
	EVENT_OPENED: 1,
	EVENT_ACCEPTED: 2,
	EVENT_CLOSED: 3,
} as const;

export const sockoptMode = {
	SOCKOPT_OFF: 0,
	SOCKOPT_MAPPED: 1,
	SOCKOPT_REFUSE: 2,
} as const;

export const toaUse = {
	TOA_USE_ALL: 0,
	TOA_USE_SOCKOPT: 1,
	TOA_USE_PEERNAME: 2,
} as const;

export const toaVni = {
	TOA_VNI_24: 0,
	TOA_VNI_32: 1,
	TOA_VNI_32_LITTLE: 2,
} as const;

export const ledgerEntry = {
	LEDGER_CLASSIFIED_NS: 0,
	LEDGER_FOLDED: 1,
	LEDGER_FOUNDATION: 2,
	LEDGER_PEER_KEY: 3,
	LEDGER_LISTENERS_FOLDED: 4,
	LEDGER_ENTRIES: 5,
} as const;
