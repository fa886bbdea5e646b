/**
 * The script that one exchange is: it counts what a member says, and answers with what all of them did. The same in TypeScript
 * is `fleet/StoreState` of the core; what is kept under which key is in docs/fleet.md.
 */

/** Keys before those of the quotas: members, their last exchanges, marks, rows, owners. */
export const FIXED_KEYS = ["members", "last", "marks", "rows", "owners"] as const

/** For Redis 6.2 or later, and Valkey. `KEYS`: the fixed ones, then one for each quota; `ARGV[1]`: what is said, as JSON. */
export const script = `
local KEPT, PRESENT, DAY, MOST = 62000, 10000, 86400000, 1e9
-- use is counted by steps of 250 ms
local STEP, WINDOW, SLICE, SHARE, AHEAD = 250, 240, 40, 40, 4
local said = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local step = math.floor(now / STEP)
local membersKey, lastKey, marksKey, rowsKey, ownersKey = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]

local function number(value)
  local read = tonumber(value)
  if read == nil or read ~= read then return 0 end
  return math.max(-1e15, math.min(1e15, read))
end
local function whole(value) return string.format('%.0f', value) end
local function limit(value) if value == cjson.null or value == nil then return math.huge end return number(value) end

-- what this member said last, and what was set aside for it then
local before = redis.call('HGET', lastKey, said.member)
local read, last = pcall(cjson.decode, before or '')
if not read or type(last) ~= 'table' then last = nil end
local isCounted = last ~= nil and said.sequence <= number(last.s)
local again = {}
if isCounted and said.sequence == number(last.s) and type(last.g) == 'table' then again = last.g end

local function usesOf(kept)
  if not kept then return 0, 0, 0 end
  local tokens, requests, held = string.match(kept, '^(%d+):(%d+):(%d+)$')
  return number(tokens), number(requests), number(held)
end
local function clamp(value) return math.max(0, math.min(MOST, value)) end
local function add(key, sums, at, tokens, requests, held)
  local t, r, h = usesOf(redis.call('HGET', key, 'u' .. at))
  local t2, r2, h2 = clamp(t + tokens), clamp(r + requests), clamp(h + held)
  redis.call('HSET', key, 'u' .. at, whole(t2) .. ':' .. whole(r2) .. ':' .. whole(h2))
  sums.tokens = sums.tokens + t2 - t
  sums.requests = sums.requests + r2 - r
  sums.held = sums.held + h2 - h
  sums.isChanged = true
  if at >= step - SLICE then sums.slice = sums.slice + r2 - r end
end

local function stepsOf(key, from, to)
  local fields = {}
  for at = from, to do fields[#fields + 1] = 'u' .. at end
  return fields, redis.call('HMGET', key, unpack(fields))
end

-- what is read of each quota: its sums, and up to which step they have forgotten
local fields = { 'id', 't', 'r', 'h', 'gone', 's', 'sliceGone', 'lt', 'lr', 'w', 'x', 'n', 'c', 'x0', 'n0', 'c0' }

local heard, granted = {}, {}
for i, quota in ipairs(said.quotas) do
  local key = KEYS[5 + i]
  local kept = redis.call('HMGET', key, unpack(fields))
  local id = kept[1]
  local sums = { tokens = number(kept[2]), requests = number(kept[3]), held = number(kept[4]), slice = number(kept[6]), isChanged = false }
  local oldest = step - WINDOW
  local gone = number(kept[5])
  if not id then
    id = time[1] .. string.format('%06d', tonumber(time[2]))
    gone = oldest - 1
    sums.isChanged = true
  end
  -- what has left the window since somebody last looked
  if gone < oldest - 1 then
    local old, uses = stepsOf(key, math.max(gone + 1, oldest - WINDOW - AHEAD - 1), oldest - 1)
    for _, use in ipairs(uses) do
      local t, r, h = usesOf(use)
      sums.tokens, sums.requests, sums.held = sums.tokens - t, sums.requests - r, sums.held - h
    end
    redis.call('HDEL', key, unpack(old))
    sums.isChanged = true
  end
  -- and what has left the slice; where that was long ago, or the clock went back, it is summed up anew
  local sliceGone, from, to = number(kept[7]), step - SLICE, step + AHEAD
  local isAnew = sliceGone >= from or sliceGone < from - SLICE
  if isAnew then sums.slice = 0 end
  if not isAnew then from, to = sliceGone + 1, from - 1 end
  if from <= to then
    local _, uses = stepsOf(key, from, to)
    for _, use in ipairs(uses) do
      local _, r = usesOf(use)
      sums.slice = sums.slice + (isAnew and r or -r)
    end
    sums.isChanged = true
  end
  local toldTokens, toldRequests = number(kept[8]), number(kept[9])
  local while_, x, n, c = number(kept[10]), number(kept[11]), number(kept[12]), number(kept[13])
  local x0, n0, c0 = number(kept[14]), number(kept[15]), number(kept[16])
  local current = math.floor(step / SHARE)
  if current ~= while_ then
    if current == while_ + 1 then x0, n0, c0 = x, n, c else x0, n0, c0 = 0, 0, 0 end
    x, n, c = 0, 0, 0
    sums.isChanged = true
  end
  if not isCounted then
    if quota.record == id then
      for _, use in ipairs(quota.uses) do
        local at = number(use.step)
        if at >= oldest and at <= step + AHEAD then
          add(key, sums, at, number(use.tokens), number(use.requests), number(use.held))
        end
      end
    end
    if number(quota.told.tokens) > 0 then toldTokens = number(quota.told.tokens) end
    if number(quota.told.requests) > 0 then toldRequests = number(quota.told.requests) end
    local share = number(quota.share)
    if share > 0 or number(quota.told.tokens) > 0 or number(quota.told.requests) > 0 then sums.isChanged = true end
    if share > 0 then x, n, c = math.min(1, math.max(x, share)), n + math.min(1, share), c + 1 end
  end
  local count = c + c0
  local mean = (n + n0) / math.max(1, count)
  local share = 0
  if count >= 8 then share = mean + 0.4 * (math.max(x, x0) - mean) end
  heard[i] = {
    record = id, sums = sums, share = share, told = { tokens = toldTokens, requests = toldRequests },
    granted = { tokens = 0, requests = 0 },
    rest = { 'id', id, 'gone', whole(oldest - 1), 'sliceGone', whole(step - SLICE - 1), 'lt', toldTokens, 'lr', toldRequests, 'w', whole(current),
      'x', x, 'n', n, 'c', c, 'x0', x0, 'n0', n0, 'c0', c0 }
  }
end

-- room for what waits: for each request, at the first quota that has it
if not isCounted then
  for _, want in ipairs(said.wants) do
    if want > 0 then
      for i, one in ipairs(heard) do
        local room, sums = said.quotas[i].room, one.sums
        if sums.tokens + want <= limit(room.tokens) and sums.requests + 1 <= limit(room.requests)
          and sums.slice + 1 <= limit(room.slice) then
          add(KEYS[5 + i], sums, step, want, 1, want)
          one.granted.tokens, one.granted.requests = one.granted.tokens + want, one.granted.requests + 1
          break
        end
      end
    end
  end
end

local quotas = {}
for i, one in ipairs(heard) do
  local key, sums = KEYS[5 + i], one.sums
  if sums.isChanged then
    redis.call('HSET', key, 't', whole(sums.tokens), 'r', whole(sums.requests), 'h', whole(sums.held), 's', whole(sums.slice), unpack(one.rest))
  end
  redis.call('PEXPIRE', key, KEPT)
  local name = said.quotas[i].key
  if isCounted and type(again[name]) == 'table' then
    one.granted = { tokens = number(again[name].tokens), requests = number(again[name].requests) }
  end
  if one.granted.requests > 0 then granted[name] = one.granted end
  quotas[i] = {
    record = one.record, tokens = math.max(0, sums.tokens), requests = math.max(0, sums.requests),
    held = math.max(0, sums.held), slice = math.max(0, sums.slice), share = one.share, told = one.told, granted = one.granted
  }
end

-- members
redis.call('ZADD', membersKey, now, said.member)
for _, member in ipairs(redis.call('ZRANGEBYSCORE', membersKey, '-inf', '(' .. (now - KEPT), 'LIMIT', 0, 100)) do
  redis.call('ZREM', membersKey, member)
  redis.call('HDEL', lastKey, member)
end
if not isCounted then
  redis.call('HSET', lastKey, said.member, cjson.encode({ s = said.sequence, g = granted }))
end
redis.call('PEXPIRE', membersKey, KEPT)
redis.call('PEXPIRE', lastKey, KEPT)
local members = redis.call('ZCOUNT', membersKey, now - PRESENT, '+inf')

-- times hold as a maximum, and are never shortened, but for what answers again
local longest = 0
for _, mark in ipairs(said.marks) do
  local name = mark.kind .. ' ' .. mark.key
  local holds = math.min(DAY, number(mark['for']))
  if mark.kind == 'closed' then
    redis.call('HDEL', marksKey, 'open ' .. mark.key)
    redis.call('HDEL', rowsKey, mark.key)
    holds = PRESENT
  end
  local known = string.match(redis.call('HGET', marksKey, name) or '', '^(%d+):%d+$')
  if now + holds > number(known) then
    redis.call('HSET', marksKey, name, whole(now + holds) .. ':' .. whole(now))
  end
  if mark.kind == 'open' then redis.call('HDEL', marksKey, 'closed ' .. mark.key) end
end
local marks = {}
local all = redis.call('HGETALL', marksKey)
for i = 1, #all, 2 do
  local kind, key = string.match(all[i], '^(%a+) (.+)$')
  local untilAt, since = string.match(all[i + 1], '^(%d+):(%d+)$')
  if kind == nil or untilAt == nil or number(untilAt) <= now then
    redis.call('HDEL', marksKey, all[i])
  else
    longest = math.max(longest, number(untilAt) - now)
    marks[#marks + 1] = { kind = kind, key = key, ['for'] = number(untilAt) - now, age = math.max(0, now - number(since)) }
  end
end
if longest > 0 then redis.call('PEXPIRE', marksKey, whole(longest)) end

-- failures in a row, of all members
if not isCounted then
  for _, row in ipairs(said.rows) do
    local failures, at = string.match(redis.call('HGET', rowsKey, row.key) or '', '^(%d+):(%d+)$')
    local sum = clamp((row.answered and 0 or number(failures)) + number(row.failures))
    redis.call('HSET', rowsKey, row.key, whole(sum) .. ':' .. whole(number(row.failures) > 0 and now or number(at)))
    redis.call('PEXPIRE', rowsKey, KEPT)
  end
end
local rows = {}
all = redis.call('HGETALL', rowsKey)
for i = 1, #all, 2 do
  local failures, at = string.match(all[i + 1], '^(%d+):(%d+)$')
  if failures == nil or number(failures) <= 0 or now - number(at) > KEPT then
    redis.call('HDEL', rowsKey, all[i])
  else
    rows[#rows + 1] = { key = all[i], failures = number(failures), age = math.max(0, now - number(at)) }
  end
end

-- who owns what is stored
if not isCounted then
  for _, owner in ipairs(said.owners) do
    redis.call('XADD', ownersKey, 'MAXLEN', '~', 10000, '*', 'i', owner.id, 'r', owner.resource)
  end
  if #said.owners > 0 then redis.call('PEXPIRE', ownersKey, 3600000) end
end
local owners, cursor = {}, said.cursor
local from = '-'
if string.match(cursor, '^%d+%-%d+$') then from = '(' .. cursor else cursor = '' end
for _, entry in ipairs(redis.call('XRANGE', ownersKey, from, '+', 'COUNT', 1000)) do
  cursor = entry[1]
  local fields = {}
  for i = 1, #entry[2], 2 do fields[entry[2][i]] = entry[2][i + 1] end
  if fields.i and fields.r then owners[#owners + 1] = { id = fields.i, resource = fields.r } end
end

return cjson.encode({
  now = now, members = members, quotas = quotas, marks = marks, rows = rows, owners = owners, cursor = cursor
})
`
