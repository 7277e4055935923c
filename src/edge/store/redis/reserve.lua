-- Reserves a key that is free or expired, or gives what stands there.
local record, what, keep, holder, turn, name, most = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local there = stands(record)
if there[1] and not (there[2] == DONE and tonumber(there[4]) <= now) then
    table.insert(there, redis.call('HGET', key(record), 'answer'))
    return { 'stands', now, there }
end
-- A server that forgot everything forgot its gateways too: they are to say first that they live.
if not redis.call('ZSCORE', root .. ':holders', holder) then
    return { 'stranger', now }
end
if there[1] then
    forget(record)
elseif redis.call('ZCARD', root .. ':names') >= tonumber(most) then
    return { 'full', now }
end
redis.call('HSET', key(record), 'what', what, 'state', RUNNING, 'since', digits(now), 'keep', keep, 'holder', holder, 'turn',
    turn, 'name', name)
redis.call('ZADD', root .. ':names', 0, record)
redis.call('ZADD', root .. ':running', 0, record)
redis.call('ZADD', root .. ':turns:' .. holder, turn, record)
return { 'granted', now }
