-- Sends the requests of a file, one a line: method, path, and the JSON body of a POST. They are built before the
-- first is sent, so that sending costs next to nothing; the last line printed is how many there were, in how
-- many microseconds, the latencies p50 and p99 in microseconds, and how many failed. With a second argument every
-- request has an idempotency key of its own, which begins with that.

local KEY = "idempotency-key"
local prepared, at, sent, keys = {}, 0, 0, nil

function init(args)
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
    local posted = body ~= ""
    local headers = posted and { ["content-type"] = "application/json" } or {}
    headers[KEY] = args[2]
    prepared[#prepared + 1] = wrk.format(method, path, headers, posted and body or nil)
  end
  keys = args[2]
end

function request()
  at, sent = at % #prepared + 1, sent + 1
  if not keys then
    return prepared[at]
  end
  local _, last = prepared[at]:find(keys, 1, true)
  return prepared[at]:sub(1, last) .. "-" .. sent .. prepared[at]:sub(last + 1)
end

function done(summary, latency)
  local e = summary.errors
  local failed = e.status + e.connect + e.read + e.write + e.timeout
  print(summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed)
end
