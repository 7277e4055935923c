-- One request of a user who has a limit: the generic cell rate algorithm, by this server's clock. Times are microseconds.
--
-- KEYS[1]: where the time is kept at which an even flow would have come to the user's last request.
-- ARGV[1]: the time between two requests of an even flow; ARGV[2]: by how much a user may be ahead of that.
--
-- Answers whether it may pass (1 or 0), by how much the user is ahead now, and how much too early it came.
local interval, most = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
-- Nobody is further ahead than the limit lets him be: not after this clock went back, nor after the limit was changed.
local kept = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now), now + most)
local ahead = kept - now + interval
if ahead > most then
    return {0, kept - now, ahead - most}
end
-- On disk it would cost every request the time of a disk, and is worth nothing once it is over.
redis.set_repl(redis.REPL_NONE)
redis.call('SET', KEYS[1], string.format('%.0f', now + ahead), 'PX', string.format('%.0f', math.ceil(ahead / 1000)))
return {1, ahead, 0}
