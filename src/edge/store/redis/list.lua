-- A page of records, in the order of their names: after which to go on (empty at the end), and what stands under each.
local which, after, most, scanned, name = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6]
local from = '-'
if after ~= '' then
    from = '(' .. after
end
local function some(set, count)
    return redis.call('ZRANGEBYLEX', root .. ':' .. set, from, '+', 'LIMIT', 0, count)
end

local candidates, limit
if which == 'unsettled' then
    candidates, limit = some('running', most), most
    for _, record in ipairs(some('unknown', most)) do
        table.insert(candidates, record)
    end
    table.sort(candidates)
elseif which == 'running' or which == 'unknown' then
    candidates, limit = some(which, most), most
else
    candidates, limit = some('names', scanned), scanned
end

local rows, looked, last = {}, 0, ''
for _, record in ipairs(candidates) do
    if looked == limit or #rows == most then
        break
    end
    looked, last = looked + 1, record
    local there = stands(record)
    local wanted = there[1] and not (there[2] == DONE and tonumber(there[4]) <= now)
    if which == 'done' then
        wanted = wanted and there[2] == DONE
    elseif which == 'named' then
        wanted = wanted and redis.call('HGET', key(record), 'name') == name
    end
    if wanted then
        -- Without its answer.
        table.insert(there, false)
        table.insert(rows, { record, there })
    end
end
if looked < limit and #rows < most then
    last = ''
end
return { last, rows }
