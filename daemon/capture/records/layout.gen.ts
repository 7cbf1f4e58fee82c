// SPDX-License-Identifier: Apache-2.0
/** Generated from bpf/records.h by scripts/generate-layout.ts. Sizes and offsets are in bytes. */

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
	size: 17064,
	generation: 0,
	events: 4,
	trustAny: 8,
	transparent: 9,
	sockopt: 10,
	readSyn: 11,
	splitUses: 12,
	virtualServers: 13,
	noAccepts: 14,
	labelPort: 15,
	netns: 16,
	sampledEvents: 20,
	retainNs: 24,
	servedCgroup: 32,
	prefixLength: 40,
	perPrefixLength: 42,
	perPrefixMax: 44,
	sampleThreshold: 48,
	sampleAcceptWaitNs: 56,
	sampleRetransmits: 64,
	table: 72,
} as const;

export const portBitsLayout = {
	size: 24,
	watched: 0,
	transparent: 8,
	sampled: 16,
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
	size: 40,
	slot: 0,
	protocol: 12,
	key: 16,
	padding: 36,
} as const;

export const bpfSpinLockLayout = {
	size: 4,
	val: 0,
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
	size: 1816,
	lock: 0,
	total: 8,
	direct: 72,
	overflow: 136,
	folded: 200,
	unexported: 264,
	handshakes: 328,
	options: 376,
	accepts: 1144,
	withoutOption: 1176,
	hiddenByFamily: 1208,
	rtt: 1216,
	duration: 1416,
	acceptWait: 1616,
} as const;

export const clientKeyLayout = {
	size: 40,
	address: 0,
	family: 16,
	prefixLength: 17,
	listener: 20,
} as const;

export const clientLayout = {
	size: 96,
	traffic: 0,
	createdNs: 64,
	activeNs: 72,
	generation: 80,
	prefixSlot: 88,
} as const;

export const exportedLayout = {
	size: 72,
	base: 0,
	sinceNs: 64,
} as const;

export const evictedLayout = {
	size: 32,
	period: 0,
	youngestNs: 8,
	count: 16,
	heldNs: 24,
} as const;

export const foldRequestLayout = {
	size: 112,
	key: 0,
	shown: 40,
	base: 48,
} as const;

export const sweepRequestLayout = {
	size: 24,
	first: 0,
	open: 4,
	protocol: 12,
	padding: 16,
} as const;

export const recountRequestLayout = {
	size: 56,
	protocol: 12,
	key: 16,
} as const;

export const toaClientLayout = {
	size: 20,
	address: 0,
	port: 16,
	family: 18,
	profile: 19,
} as const;

export const connectionLayout = {
	size: 192,
	lock: 0,
	state: 4,
	verdict: 5,
	flags: 6,
	cookie: 8,
	socket: 16,
	openedNs: 24,
	closedNs: 32,
	client: 40,
	listener: 60,
	acceptKind: 62,
	segment: 63,
	countedReceived: 64,
	countedSent: 72,
	countedRetransmitted: 80,
	gone: 84,
	peer: 88,
	netns: 108,
	listenerService: 112,
	synVerdict: 116,
	unknownKind: 117,
	unknownLength: 118,
	rttSampled: 119,
	prefixLength: 120,
	peernameFamily: 121,
	localPort: 122,
	local4: 124,
	acceptedNs: 128,
	cgroupId: 136,
	comm: 144,
	pid: 160,
	srttUs: 164,
	receivedBytes: 168,
	sentBytes: 176,
	retransmittedSegments: 184,
	error: 188,
} as const;

export const toaVirtualLayout = {
	size: 24,
	address: 0,
	port: 16,
	family: 18,
	hasVni: 19,
	vni: 20,
} as const;

export const eventLayout = {
	size: 248,
	type: 0,
	sampledBy: 2,
	local: 4,
	sampleThreshold: 24,
	connection: 32,
	virtualServer: 224,
} as const;

export const extraLayout = {
	size: 44,
	local: 0,
	virtualServer: 20,
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
	savesSyns: 68,
	savedByUs: 69,
	defersAccept: 70,
	transparent: 71,
} as const;

export const unknownOptionLayout = {
	size: 2,
	kind: 0,
	length: 1,
} as const;

export const constant = {
	TOASCOPE_LAYOUT: 10,
	HISTOGRAM_BUCKETS: 24,
	SEGMENTS: 3,
	COMM_SIZE: 16,
	PORT_WORDS: 1024,
	PROFILE_SLOTS: 32,
	LIST_SIZE: 64,
	ABSENT: 0,
	OTHER_LISTENER: 0,
	SLOTS_PER_RUN: 64,
	LISTENER_ROWS_MAX: 16,
	LISTENER_ROWS_TOTAL: 8192,
	HASHES_PER_LINE: 8,
	SLOTS_PER_BLOCK: 1024,
	EVICTED_PERIODS: 8,
	EVICTED_SHIFT: 35,
	CLIENT_PORT_BITS: 12,
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

export const toaVerdict = {
	TOA_VERDICT_PENDING: 0,
	TOA_VERDICT_TOA: 1,
	TOA_VERDICT_NONE: 2,
	TOA_VERDICT_MALFORMED: 3,
	TOA_VERDICT_UNTRUSTED: 4,
	TOA_VERDICT_CONFLICT: 5,
	TOA_VERDICTS: 6,
} as const;

export const toaSegment = {
	TOA_SEGMENT_NONE: 0,
	TOA_SEGMENT_SYN: 1,
	TOA_SEGMENT_ACK: 2,
	TOA_SEGMENT_DATA: 3,
} as const;

export const acceptKind = {
	ACCEPT_PENDING: 0,
	ACCEPT_FEXIT: 1,
	ACCEPT_GETPEERNAME: 2,
	ACCEPT_UNOBSERVED: 3,
	ACCEPT_KINDS: 4,
} as const;

export const slotState = {
	SLOT_FREE: 0,
	SLOT_OPEN: 1,
	SLOT_CLOSED: 2,
	SLOT_COUNTED: 3,
} as const;

export const connectionFlag = {
	CONN_SWEPT: 1,
	CONN_ATTRIBUTED: 2,
	CONN_ACCEPT_COUNTED: 4,
	CONN_IN_OVERFLOW: 8,
	CONN_OPTION_CALLBACKS: 16,
	CONN_MALFORMED: 32,
	CONN_GONE: 64,
	CONN_HELD_RECEIVED: 128,
	CONN_HELD_SENT: 256,
	CONN_FALLBACK: 512,
	CONN_JOINED: 1024,
	CONN_TRUSTED: 2048,
	CONN_DATA: 4096,
	CONN_HIDDEN: 8192,
	CONN_EXTRA: 16384,
	CONN_HAD_STRUCT_SOCKET: 32768,
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
	DROP_CLIENTS_PER_PREFIX: 18,
	DROPS: 19,
} as const;

export const countedBy = {
	COUNTED_BY_SWEEP: 0,
	COUNTED_BY_REUSE: 1,
	COUNTED_BY_CLOSE: 2,
	COUNTED_BYS: 3,
} as const;

export const runResult = {
	RUN_OK: 0,
	RUN_MISSING: 1,
	RUN_IN_USE: 2,
	RUN_ENDED: 3,
} as const;

export const eventType = {
	EVENT_OPENED: 1,
	EVENT_ACCEPTED: 2,
	EVENT_CLOSED: 3,
} as const;

export const sampledBy = {
	SAMPLED_NOT: 0,
	SAMPLED_BY_RATIO: 1,
	SAMPLED_BY_CONDITION: 2,
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

export const metaEntry = {
	META_CLASSIFIED_NS: 0,
	META_FOLDED: 1,
	META_SCOPE: 2,
	META_PEER_HASH_KEY: 3,
	META_LISTENERS_FOLDED: 4,
	META_SINCE_NS: 5,
	META_ENTRIES: 6,
} as const;
