-- A lock. take: 1 if the turn has it now, 0 if another has it, -1 if this server does not know the gateway any more. extend: 1
-- if it is still the turn's. free: it is nobody's.
local name, holder, turn, step, lease = ARGV[2], ARGV[3], ARGV[4], ARGV[5], tonumber(ARGV[6])
local at = root .. ':lock:' .. name
local there = redis.call('HMGET', at, 'holder', 'turn', 'ends')
local mine = there[1] == holder and there[2] == turn

local function lasts(ends)
    redis.call('HSET', at, 'holder', holder, 'turn', turn, 'ends', digits(ends))
    redis.call('ZADD', root .. ':locks', digits(ends), name)
end

if step == 'take' then
    if there[1] and not mine and tonumber(there[3]) > ms then
        return 0
    end
    if not redis.call('ZSCORE', root .. ':holders', holder) then
        return -1
    end
    lasts(ms + lease)
    return 1
end
if not mine then
    return 0
end
if step == 'extend' then
    lasts(math.max(tonumber(there[3]), ms + lease))
else
    redis.call('DEL', at)
    redis.call('ZREM', root .. ':locks', name)
end
return 1
