-- A sign of life of a holder: gives how many keys of the dead are unknown now, how many keys there are and how many of them are
-- unknown, and what the holder runs, with its turns.
local holder, lease, host, most = ARGV[2], tonumber(ARGV[3]), ARGV[4], tonumber(ARGV[5])
local facts, own = root .. ':facts', root .. ':holder:' .. holder
local latest = math.max(now, tonumber(redis.call('HGET', facts, 'latest') or '0'))
redis.call('HSET', facts, 'latest', digits(latest))

-- Who was not heard of for half its lease begins anew.
local before = redis.call('HMGET', own, 'seen', 'since')
local seen, since = ms, ms
if before[1] and tonumber(before[1]) >= ms - lease / 2 then
    seen, since = math.max(ms, tonumber(before[1])), tonumber(before[2])
end
redis.call('HSET', own, 'seen', digits(seen), 'since', digits(since), 'host', host)
redis.call('ZADD', root .. ':holders', digits(seen + lease), holder)

-- What ran in the names of those who are gone is unknown, and they are forgotten once nothing runs in their names. Only who
-- was itself heard of for as long says so.
local lost = 0
if seen - since >= lease then
    for _, gone in ipairs(redis.call('ZRANGEBYSCORE', root .. ':holders', '-inf', digits(ms), 'LIMIT', 0, 16)) do
        local turns = root .. ':turns:' .. gone
        for _, record in ipairs(redis.call('ZRANGE', turns, 0, most - lost - 1)) do
            is_unknown(record)
            lost = lost + 1
        end
        if redis.call('EXISTS', turns) == 0 then
            redis.call('DEL', root .. ':holder:' .. gone)
            redis.call('ZREM', root .. ':holders', gone)
        end
        if lost >= most then
            break
        end
    end
end
return {
    lost, redis.call('ZCARD', root .. ':names'), redis.call('ZCARD', root .. ':unknown'),
    redis.call('ZRANGE', root .. ':turns:' .. holder, 0, -1, 'WITHSCORES'),
}
