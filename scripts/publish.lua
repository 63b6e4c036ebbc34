-- publish.lua - one publication to a channel of Limpet, in one step: history, idempotency key, delivery.
--
-- Any backend may call it, by EVALSHA or with redis-cli; P is Limpet's redis.prefix ("limpet:"), C the channel:
--
--   redis-cli --eval publish.lua 'limpet:{news}:stream' 'limpet:{news}:meta' , limpet:news '{"a":1}' 100 3600
--
-- KEYS[1]  P{C}:stream    a stream of the newest publications; ids are <offset>-0
-- KEYS[2]  P{C}:meta      a hash of the stream's epoch (e) and top offset (s), which outlives it
-- KEYS[3]  P{C}:key:K     optional, K is an idempotency key: what was published under it within 5 minutes is answered
--                         and not published again
-- ARGV[1]  PC             where it is published; in a cluster P{C}
-- ARGV[2]  the payload
-- ARGV[3]  how many publications the channel keeps; 0: no history, live only
-- ARGV[4]  for how many seconds it keeps them after the newest one
-- ARGV[5]  optional: t, text; b, binary; empty: the channel's namespace decides
-- ARGV[6]  optional: PUBLISH (standard), or SPUBLISH in a cluster
-- ARGV[7]  optional: the user who sent it
-- ARGV[8]  optional: the connection that sent it
--
-- Size and age should be those of the namespace in Limpet's options. Answer: { offset, epoch, 1 }; the third is 0 when
-- the key had been used, and the position is that of then. Redis 6 and later, Valkey.

local META_AGE_S = 30 * 24 * 3600
local KEY_AGE_S = 300

local channel, payload = ARGV[1], ARGV[2]
local size, age = tonumber(ARGV[3]), tonumber(ARGV[4])
local mark, command = ARGV[5] or '', ARGV[6] or 'PUBLISH'
local user, connection = ARGV[7] or '', ARGV[8] or ''
local offset, epoch = 0, ''

if not payload or not size or size < 0 or (size > 0 and (not age or age < 1)) then
    return redis.error_reply('ERR publish.lua wants: channel payload size age_s [mark [command [user connection]]]')
end

if KEYS[3] then
    local before = redis.call('HMGET', KEYS[3], 's', 'e')
    if before[2] then
        return { tonumber(before[1]), before[2], 0 }
    end
end

-- What may be refused comes before every other write: without memory Redis lets a script go on that has written.
if size > 0 then
    local meta = redis.call('HMGET', KEYS[2], 'e', 's')
    epoch = meta[1]
    if epoch then
        offset = tonumber(meta[2])
    else
        local time = redis.call('TIME')
        epoch = string.format('%x%05x', time[1], time[2])
        if redis.call('EXISTS', KEYS[1]) == 1 then
            redis.call('DEL', KEYS[1])
        end
    end
    offset = offset + 1
    local id = string.format('%.0f', offset)
    redis.call('XADD', KEYS[1], 'MAXLEN', size, id .. '-0', 'd', payload, 'm', mark, 'u', user, 'c', connection)
    redis.call('EXPIRE', KEYS[1], age)
    redis.call('HSET', KEYS[2], 'e', epoch, 's', id)
    redis.call('EXPIRE', KEYS[2], math.max(META_AGE_S, 2 * age))
end

if KEYS[3] then
    redis.call('HSET', KEYS[3], 's', string.format('%.0f', offset), 'e', epoch)
    redis.call('EXPIRE', KEYS[3], KEY_AGE_S)
end

redis.call(command, channel, string.format('__p1:%.0f:%s:%s:%d:%d__', offset, epoch, mark, #user, #connection)
    .. user .. connection .. payload)
return { offset, epoch, 1 }
