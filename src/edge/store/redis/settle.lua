-- What became of a key that runs, while nobody else has said anything; again, when it is not known whether that was heard.
-- 1 once it stands, 0 where the key is somebody else's.
local record, holder, turn, outcome, status, id = ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]
local answer, most = ARGV[8] or '', tonumber(ARGV[9] or '0')
local there = redis.call('HMGET', key(record), 'holder', 'turn', 'state')
if there[1] ~= holder or there[2] ~= turn then
    return 0
end
if outcome == 'done' then
    if there[3] ~= DONE then
        is_done(record, status, id)
        -- An answer beyond what there is room for is not kept; its outcome is.
        local kept = tonumber(redis.call('HGET', root .. ':facts', 'answer_bytes') or '0')
        if #answer > 0 and kept + #answer <= most then
            redis.call('HSET', key(record), 'answer', answer)
            redis.call('HINCRBY', root .. ':facts', 'answer_bytes', #answer)
        end
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
