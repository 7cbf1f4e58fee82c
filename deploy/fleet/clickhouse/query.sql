-- SPDX-License-Identifier: Apache-2.0
-- Which client was behind a peer between two moments?
--   clickhouse-client --queries-file query.sql --param_peer=198.51.100.7 --param_port=28404 \
--     --param_from='2026-11-24 03:12:00' --param_to='2026-11-24 03:12:59.999999' --param_grace=600
-- `toascope lookup ADDR:PORT --at TIME` prints it with these values filled in.

SELECT client, client_port, local, local_port, node, program, opened, seen, state, received_bytes, sent_bytes, error
FROM toascope.connections FINAL
WHERE peer_address = toIPv6({peer:String})
    AND peer_port = {port:UInt16}
    AND opened <= toDateTime64({to:String}, 6, 'UTC')
    -- a connection that is open may still be open some seconds after it was last read: twice
    -- otel.span_interval
    AND seen + toIntervalSecond(if(state = 'open', {grace:UInt32}, 0)) >= toDateTime64({from:String}, 6, 'UTC')
ORDER BY opened DESC
