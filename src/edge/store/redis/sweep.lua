-- Removes what has expired, the oldest first; gives how many that were.
local doomed = redis.call('ZRANGEBYSCORE', root .. ':done', '-inf', digits(now), 'LIMIT', 0, tonumber(ARGV[2]))
for _, record in ipairs(doomed) do
    forget(record)
end
-- Locks that have ended, as many beside that.
for _, name in ipairs(redis.call('ZRANGEBYSCORE', root .. ':locks', '-inf', digits(ms), 'LIMIT', 0, tonumber(ARGV[2]))) do
    redis.call('DEL', root .. ':lock:' .. name)
    redis.call('ZREM', root .. ':locks', name)
end
return #doomed
