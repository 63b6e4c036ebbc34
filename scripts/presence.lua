-- presence.lua - who is in a channel of Limpet. Members expire unless the host that holds them joins them again.
--
-- KEYS[1]  P{C}:members   a hash: connection -> user
-- KEYS[2]  P{C}:expiry    a sorted set: connection -> Unix time at which it is gone
-- ARGV[1]  join:  ARGV[2] is the expiry in seconds, then connection and user of each
--          leave: the connections follow
--          read:  ARGV[2] is how many members an answer may have
--
-- Answer: 1; for read { connection, user, ... }, or an error that begins with FULL.

local SWEPT_MAX = 1000

local now = tonumber(redis.call('TIME')[1])

local function forget(connections)
    for _, connection in ipairs(connections) do
        redis.call('HDEL', KEYS[1], connection)
        redis.call('ZREM', KEYS[2], connection)
    end
    return #connections
end

while forget(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, SWEPT_MAX)) == SWEPT_MAX do
end

if ARGV[1] == 'join' then
    for i = 3, #ARGV, 2 do
        redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
        redis.call('ZADD', KEYS[2], now + ARGV[2], ARGV[i])
    end
    redis.call('EXPIRE', KEYS[1], ARGV[2])
    redis.call('EXPIRE', KEYS[2], ARGV[2])
elseif ARGV[1] == 'leave' then
    forget({ unpack(ARGV, 2) })
elseif redis.call('HLEN', KEYS[1]) > tonumber(ARGV[2]) then
    return redis.error_reply('FULL more members than one answer may have')
else
    return redis.call('HGETALL', KEYS[1])
end
return 1
