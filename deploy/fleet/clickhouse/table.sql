-- SPDX-License-Identifier: Apache-2.0
-- Connection records of toascope, for the question: which client was behind a peer at a moment?
--   clickhouse-client --queries-file table.sql

CREATE DATABASE IF NOT EXISTS toascope;

-- One row for each connection. A record of an open connection is replaced by the later ones, and a
-- record that arrived twice counts once: trace_id identifies the connection.
CREATE TABLE IF NOT EXISTS toascope.connections
(
    -- the balancer or NAT64 gateway, as the server sees it; IPv4 is ::ffff:a.b.c.d
    peer_address IPv6,
    peer_port UInt16,
    opened DateTime64(6, 'UTC') CODEC(T64, ZSTD(3)),
    -- when it closed; of an open connection, when it was last read
    seen DateTime64(6, 'UTC') CODEC(T64, ZSTD(3)),
    state Enum8('open' = 1, 'closed' = 2),
    -- from the TOA option
    client_address IPv6 CODEC(ZSTD(3)),
    -- 0: the option has none
    client_port UInt16 CODEC(ZSTD(3)),
    local_address IPv6 CODEC(ZSTD(3)),
    local_port UInt16 CODEC(ZSTD(3)),
    -- the host, its network namespace, and the program that accepted the connection
    node LowCardinality(String),
    netns UInt32 CODEC(ZSTD(3)),
    program LowCardinality(String),
    received_bytes UInt64 CODEC(ZSTD(3)),
    sent_bytes UInt64 CODEC(ZSTD(3)),
    -- `conflict`: the option lists of the connection named different clients
    verdict LowCardinality(String),
    -- how it ended, if not in an orderly way: ECONNRESET and the like
    error LowCardinality(String),
    trace_id FixedString(16),
    -- of two records the one with the higher version stays: the close, whatever the clock did
    version UInt64 DEFAULT bitShiftLeft(toUInt64(state = 'closed'), 62) + toUInt64(toUnixTimestamp64Micro(seen)) CODEC(T64, ZSTD(3)),

    -- for people: IPv4 without ::ffff:
    peer String ALIAS if(startsWith(toString(peer_address), '::ffff:'), substring(toString(peer_address), 8), toString(peer_address)),
    client String ALIAS if(startsWith(toString(client_address), '::ffff:'), substring(toString(client_address), 8), toString(client_address)),
    local String ALIAS if(startsWith(toString(local_address), '::ffff:'), substring(toString(local_address), 8), toString(local_address))
)
ENGINE = ReplacingMergeTree(version)
-- an insert can have records of connections that opened on many days
PARTITION BY toYYYYMM(opened)
ORDER BY (peer_address, peer_port, trace_id)
-- whole parts are dropped
TTL toDate(opened) + INTERVAL 1 YEAR
SETTINGS ttl_only_drop_parts = 1;

-- The columns of the Collector's exporter. This table stores nothing: it only feeds the view.
CREATE TABLE IF NOT EXISTS toascope.otel_logs
(
    Timestamp DateTime64(9),
    TraceId String,
    SpanId String,
    TraceFlags UInt8,
    SeverityText LowCardinality(String),
    SeverityNumber UInt8,
    ServiceName LowCardinality(String),
    Body String,
    ResourceSchemaUrl LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String),
    ScopeSchemaUrl LowCardinality(String),
    ScopeName String,
    ScopeVersion LowCardinality(String),
    ScopeAttributes Map(LowCardinality(String), String),
    LogAttributes Map(LowCardinality(String), String),
    EventName String
)
ENGINE = Null;

-- A value that cannot be converted becomes 0: one record does not keep a batch from being inserted.
CREATE MATERIALIZED VIEW IF NOT EXISTS toascope.connections_of_logs TO toascope.connections AS
SELECT
    toIPv6OrDefault(LogAttributes['network.peer.address']) AS peer_address,
    toUInt16OrZero(LogAttributes['network.peer.port']) AS peer_port,
    fromUnixTimestamp64Nano(toInt64OrZero(LogAttributes['toascope.opened_unix_nano']), 'UTC') AS opened,
    Timestamp AS seen,
    if(LogAttributes['toascope.state'] = 'open', 'open', 'closed') AS state,
    toIPv6OrDefault(LogAttributes['client.address']) AS client_address,
    toUInt16OrZero(LogAttributes['client.port']) AS client_port,
    toIPv6OrDefault(LogAttributes['network.local.address']) AS local_address,
    toUInt16OrZero(LogAttributes['network.local.port']) AS local_port,
    ResourceAttributes['host.name'] AS node,
    toUInt32OrZero(LogAttributes['toascope.netns']) AS netns,
    LogAttributes['process.executable.name'] AS program,
    toUInt64OrZero(LogAttributes['toascope.received_bytes']) AS received_bytes,
    toUInt64OrZero(LogAttributes['toascope.sent_bytes']) AS sent_bytes,
    LogAttributes['toascope.verdict'] AS verdict,
    LogAttributes['error.type'] AS error,
    unhex(TraceId) AS trace_id
FROM toascope.otel_logs
WHERE EventName = 'toascope.connection';
