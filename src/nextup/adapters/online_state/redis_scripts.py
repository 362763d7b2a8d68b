"""What Redis does by itself, in Lua: each script is one transaction.

All keys of one tenant's state begin with the same hash tag, since a batch is applied in one
transaction and a cluster has none over several slots. Below that beginning lie:

    position        hash: partition of the log -> the offset that comes next
    people          sorted set: person -> the last offset that was applied to them
    person:<id>     list: the partition ('' while it is not known), then each touch, packed
    hours           sorted set of the hours that have counters
    hour:<number>   hash: "type NUL item" -> how often
    answers:<id>    hash: name of an answer about the person -> answer (see below)
    everybody       the same about everybody
    epoch           counts how often all answers were let go

Every script is given: the beginning of all keys, the present hour, how many hours of counters are
kept, how many partitions the position has, then partition and offset of each.
"""

from __future__ import annotations

from typing import Final

_GIVEN: Final = """
local key, this_hour, kept = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local position, only, at = {}, '', 5
for _ = 1, tonumber(ARGV[4]) do
  position[ARGV[at]] = tonumber(ARGV[at + 1])
  only = ARGV[at]
  at = at + 2
end
if ARGV[4] ~= '1' then only = '' end
local function count(hour, field)
  redis.call('HINCRBY', key .. 'hour:' .. hour, field, 1)
  redis.call('ZADD', key .. 'hours', hour, hour)
  redis.call('UNLINK', key .. 'everybody')
end
"""

_FORGET_OLD: Final = """
local newest = redis.call('ZREVRANGE', key .. 'hours', 0, 0)[1]
if newest then
  local oldest = math.min(tonumber(newest), this_hour) - kept
  local gone = redis.call('ZRANGEBYSCORE', key .. 'hours', '-inf', '(' .. oldest)
  for _, hour in ipairs(gone) do
    redis.call('UNLINK', key .. 'hour:' .. hour)
    redis.call('ZREM', key .. 'hours', hour)
  end
end
"""

_MOVE: Final = """
for place = 5, 3 + 2 * tonumber(ARGV[4]), 2 do
  local now = redis.call('HGET', key .. 'position', ARGV[place])
  if not now or tonumber(ARGV[place + 1]) > tonumber(now) then
    redis.call('HSET', key .. 'position', ARGV[place], ARGV[place + 1])
  end
end
"""

# By row, in the order of the log: person, partition, offset, hour ('': is not counted), field of
# the counter, packed touch.
_APPLY: Final = """
while ARGV[at] do
  local user, partition, offset = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local person = key .. 'person:' .. user
  local last = redis.call('ZSCORE', key .. 'people', user)
  if not last or tonumber(offset) > tonumber(last) then
    if last then
      redis.call('LSET', person, 0, partition)
    else
      redis.call('RPUSH', person, partition)
    end
    redis.call('RPUSH', person, ARGV[at + 5])
    redis.call('UNLINK', key .. 'answers:' .. user)
    redis.call('ZADD', key .. 'people', offset, user)
    if ARGV[at + 3] ~= '' then count(ARGV[at + 3], ARGV[at + 4]) end
  end
  at = at + 6
end
"""

# By person: id, how many touches, then offset and packed touch of each. See `touches.loaded`.
_LOAD: Final = """
while ARGV[at] do
  local user, number = ARGV[at], tonumber(ARGV[at + 1])
  local person = key .. 'person:' .. user
  local known = redis.call('LRANGE', person, 0, -1)
  local partition = known[1] or ''
  if partition == '' then partition = only end
  local touches, last_of_base = {}, -1
  for place = 1, number do
    last_of_base = tonumber(ARGV[at + 2 * place])
    touches[place] = {last_of_base, ARGV[at + 2 * place + 1]}
  end
  at = at + 2 + 2 * number
  local reached = last_of_base
  if partition ~= '' then reached = (position[partition] or 0) - 1 end
  local has = {}
  for place, touch in ipairs(touches) do has[touch[1]] = place end
  for place = 2, #known do
    local offset = cmsgpack.unpack(known[place])[5]
    if offset > reached then touches[has[offset] or #touches + 1] = {offset, known[place]} end
  end
  table.sort(touches, function(one, other) return one[1] < other[1] end)
  redis.call('DEL', person, key .. 'answers:' .. user)
  redis.call('RPUSH', person, partition)
  for _, touch in ipairs(touches) do redis.call('RPUSH', person, touch[2]) end
  local last = tonumber(redis.call('ZSCORE', key .. 'people', user) or '-1')
  local furthest = math.max(last, reached, last_of_base)
  redis.call('ZADD', key .. 'people', string.format('%.0f', furthest), user)
end
"""

# Where counters made anew lie, then the types that count. Those, and what was applied from beyond
# the position, become the counters. See `touches.counted_beyond`.
_RECOUNT: Final = """
local new, counts = ARGV[at], {}
for place = at + 1, #ARGV do counts[ARGV[place]] = true end
for _, hour in ipairs(redis.call('ZRANGE', key .. 'hours', 0, -1)) do
  redis.call('UNLINK', key .. 'hour:' .. hour)
end
redis.call('DEL', key .. 'hours', key .. 'everybody')
for _, hour in ipairs(redis.call('ZRANGE', new .. 'hours', 0, -1)) do
  redis.call('RENAME', new .. 'hour:' .. hour, key .. 'hour:' .. hour)
  redis.call('PERSIST', key .. 'hour:' .. hour)
  redis.call('ZADD', key .. 'hours', hour, hour)
end
redis.call('DEL', new .. 'hours')
local first = math.huge
for _, offset in pairs(position) do first = math.min(first, offset) end
if first == math.huge then first = 0 end
local since = string.format('%.0f', first)
for _, user in ipairs(redis.call('ZRANGEBYSCORE', key .. 'people', since, '+inf')) do
  local known = redis.call('LRANGE', key .. 'person:' .. user, 0, -1)
  for place = 2, #known do
    local touch = cmsgpack.unpack(known[place])
    if known[1] ~= '' and touch[5] >= (position[known[1]] or 0) and counts[touch[2]] then
      local hour = string.format('%.0f', math.floor(touch[4] / 3600000000))
      count(hour, touch[2] .. string.char(0) .. touch[1])
    end
  end
end
"""

APPLY: Final = _GIVEN + _APPLY + _FORGET_OLD + _MOVE
LOAD: Final = _GIVEN + _LOAD
RECOUNT: Final = _GIVEN + _RECOUNT + _FORGET_OLD + _MOVE
MOVE: Final = _GIVEN + _MOVE

# Where the keys begin, first and last hour: each hour with its counters, at one moment.
TRENDING: Final = """
local found = {}
for _, hour in ipairs(redis.call('ZRANGEBYSCORE', ARGV[1] .. 'hours', ARGV[2], ARGV[3])) do
  found[#found + 1] = {hour, redis.call('HGETALL', ARGV[1] .. 'hour:' .. hour)}
end
return found
"""

_STAMP: Final = """
local key, user = ARGV[1], ARGV[2]
local function stamp()
  if user ~= '' then return tostring(redis.call('ZSCORE', key .. 'people', user) or '') end
  local found = redis.call('HGETALL', key .. 'position')
  local parts = {}
  for place = 1, #found, 2 do parts[#parts + 1] = found[place] .. '=' .. found[place + 1] end
  table.sort(parts)
  return table.concat(parts, ' ')
end
local answers = key .. 'everybody'
if user ~= '' then answers = key .. 'answers:' .. user end
local epoch = redis.call('GET', key .. 'epoch') or '0'
"""

# Where the keys begin, and the person or nothing.
STAMP: Final = (
    _STAMP
    + """
return epoch .. ':' .. stamp()
"""
)

# Likewise, then the answer's name, the answer, its stamp, until when it may be given and how long
# that is, in milliseconds. Each is kept with its epoch and its time: fields do not expire.
KEEP: Final = (
    _STAMP
    + """
if ARGV[5] ~= epoch .. ':' .. stamp() then return 0 end
redis.call('HSET', answers, ARGV[3], epoch .. ' ' .. ARGV[6] .. ' ' .. ARGV[4])
redis.call('PEXPIRE', answers, ARGV[7])
return 1
"""
)
