-- Removes what has expired, the oldest first; gives how many that were.
local doomed = redis.call('ZRANGEBYSCORE', root .. ':done', '-inf', digits(now), 'LIMIT', 0, tonumber(ARGV[2]))
for _, record in ipairs(doomed) do
    forget(record)
end
return #doomed
