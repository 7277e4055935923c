-- A holder takes its leave: nobody will say what became of what it runs. Gives how many keys that were, up to a number; fewer
-- means that it is gone.
local holder, most = ARGV[2], tonumber(ARGV[3])
local left = redis.call('ZRANGE', root .. ':turns:' .. holder, 0, most - 1)
for _, record in ipairs(left) do
    is_unknown(record)
end
if #left < most then
    redis.call('DEL', root .. ':holder:' .. holder)
    redis.call('ZREM', root .. ':holders', holder)
end
return #left
