-- One more hit on a sliding window.
-- KEYS[1]: the times of the hits that count, oldest first, in µs. ARGV: the limit; the window in µs.
-- Answers: whether it is allowed (1) or not (0), how many more are, and in how many µs the next one is.
-- The clock is the server's, the same for every process.
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]

local oldest = redis.call('LINDEX', KEYS[1], 0)
while oldest and oldest + window <= now do
  redis.call('LPOP', KEYS[1])
  oldest = redis.call('LINDEX', KEYS[1], 0)
end

local count = redis.call('LLEN', KEYS[1])
local allowed = count < limit
if allowed then
  count = redis.call('RPUSH', KEYS[1], string.format('%.0f', now))
end

local retry_after = 0
if count >= limit then
  -- The window takes one more when fewer than `limit` of these are left in it.
  local leaves = redis.call('LINDEX', KEYS[1], count - limit)
  retry_after = leaves and math.min(leaves + window - now, window) or window
end

local newest = redis.call('LINDEX', KEYS[1], -1)
if newest then
  redis.call('PEXPIRE', KEYS[1], math.ceil((newest + window - now) / 1000))
end
return { allowed and 1 or 0, math.max(limit - count, 0), retry_after }
