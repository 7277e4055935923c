-- Begins every script. KEYS[1]: what all names of this store begin with. ARGV[1]: the time in unix seconds, empty for this
-- server's own.
--
--   ROOT:key:RECORD     a hash: what (the record's bytes but for its times), state (1 running, 2 done, 3 unknown), since, keep,
--                       until, status, id, answer (sealed), holder, turn, name (the client's key)
--   ROOT:names          every record, in the order of their names
--   ROOT:running, ROOT:unknown   those that are, in the same order
--   ROOT:done           those that are, by when they expire
--   ROOT:holders        gateways, by when they are gone (milliseconds), and ROOT:holder:HOLDER with seen, since and host
--   ROOT:turns:HOLDER   what a gateway runs, by its turns
--   ROOT:lock:NAME      a hash: holder, turn, and when it ends (milliseconds); ROOT:locks has their names, by when they end
--   ROOT:facts          format, the latest time that was ever seen, and how many bytes of answers there are
local root = KEYS[1]
local RUNNING, DONE, UNKNOWN = '1', '2', '3'

local function clock()
    if ARGV[1] ~= '' then
        return tonumber(ARGV[1]) * 1000
    end
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- All digits: Lua itself would round from the fifteenth on.
local function digits(number)
    return string.format('%.0f', number)
end

local ms = clock()
local now = math.floor(ms / 1000)

local function key(record)
    return root .. ':key:' .. record
end

local function stands(record)
    return redis.call('HMGET', key(record), 'what', 'state', 'since', 'until', 'status', 'id')
end

-- Who ran it does not any more.
local function is_not_running(record)
    redis.call('ZREM', root .. ':running', record)
    redis.call('ZREM', root .. ':unknown', record)
    local holder = redis.call('HGET', key(record), 'holder')
    if holder then
        redis.call('ZREM', root .. ':turns:' .. holder, record)
    end
end

local function forget(record)
    is_not_running(record)
    local bytes = redis.call('HSTRLEN', key(record), 'answer')
    if bytes > 0 then
        redis.call('HINCRBY', root .. ':facts', 'answer_bytes', -bytes)
    end
    redis.call('ZREM', root .. ':done', record)
    redis.call('ZREM', root .. ':names', record)
    redis.call('DEL', key(record))
end

local function is_unknown(record)
    is_not_running(record)
    redis.call('HSET', key(record), 'state', UNKNOWN)
    redis.call('ZADD', root .. ':unknown', 0, record)
end

-- Kept from the latest time that was ever seen, so that nothing is kept for less because a clock went back.
local function is_done(record, status, id)
    is_not_running(record)
    local at = key(record)
    local latest = tonumber(redis.call('HGET', root .. ':facts', 'latest') or '0')
    local over = digits(math.max(now, latest) + tonumber(redis.call('HGET', at, 'keep')))
    redis.call('HSET', at, 'state', DONE, 'since', digits(now), 'until', over, 'status', status, 'id', id)
    redis.call('ZADD', root .. ':done', over, record)
end
