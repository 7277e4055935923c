-- An operator's word on the unknown outcome that the operator saw. 1 if that still stands.
local record, what, since, outcome, status, id = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local there = stands(record)
if there[1] ~= what or there[2] ~= UNKNOWN or there[3] ~= since then
    return 0
end
if outcome == 'free' then
    forget(record)
else
    is_done(record, status, id)
    redis.call('HDEL', key(record), 'holder', 'turn')
end
return 1
