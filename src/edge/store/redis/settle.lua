-- What became of a key that runs, while nobody else has said anything; again, when it is not known whether that was heard.
-- 1 once it stands, 0 where the key is somebody else's.
local record, holder, turn, outcome, status, id = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local there = redis.call('HMGET', key(record), 'holder', 'turn', 'state')
if there[1] ~= holder or there[2] ~= turn then
    return 0
end
if outcome == 'done' then
    if there[3] ~= DONE then
        is_done(record, status, id)
    end
elseif there[3] == RUNNING then
    if outcome == 'free' then
        forget(record)
    else
        is_unknown(record)
        if outcome == 'doubt_now' then
            redis.call('HSET', key(record), 'since', digits(now))
        end
    end
end
return 1
