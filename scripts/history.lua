-- history.lua - what a channel of Limpet keeps, and its position, in one step.
--
-- KEYS[1]  P{C}:stream, KEYS[2]  P{C}:meta: see publish.lua
-- ARGV[1]  how many publications at most; 0: the position alone
-- ARGV[2]  the first offset, "-" or "+": from one end
-- ARGV[3]  optional: reverse, newest first
--
-- Answer: { epoch, top offset, { { id, { field, value, ... } }, ... } }. A channel that has no stream yet gets an epoch,
-- so that there is a position to come back to.

local META_AGE_S = 30 * 24 * 3600

local limit = tonumber(ARGV[1])
local meta = redis.call('HMGET', KEYS[2], 'e', 's')
local epoch, top = meta[1], tonumber(meta[2] or '0')
local items = {}

if not epoch then
    local time = redis.call('TIME')
    epoch = string.format('%x%05x', time[1], time[2])
    redis.call('HSET', KEYS[2], 'e', epoch, 's', '0')
    redis.call('EXPIRE', KEYS[2], META_AGE_S)
    redis.call('DEL', KEYS[1])
elseif limit > 0 and ARGV[3] == 'reverse' then
    items = redis.call('XREVRANGE', KEYS[1], ARGV[2], '-', 'COUNT', limit)
elseif limit > 0 then
    items = redis.call('XRANGE', KEYS[1], ARGV[2], '+', 'COUNT', limit)
end
return { epoch, top, items }
