-- Sends the requests of a file, one a line: method, path, and the JSON body of a POST. They are built before the
-- first is sent, so that sending costs next to nothing; the last line printed is how many there were, in how
-- many microseconds, the latencies p50 and p99 in microseconds, and how many failed.

local prepared, at = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^(%S+) (%S+) ?(.*)$")
    local posted = body ~= ""
    local headers = posted and { ["content-type"] = "application/json" } or {}
    prepared[#prepared + 1] = wrk.format(method, path, headers, posted and body or nil)
  end
end

function request()
  at = at % #prepared + 1
  return prepared[at]
end

function done(summary, latency)
  local e = summary.errors
  local failed = e.status + e.connect + e.read + e.write + e.timeout
  print(summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), failed)
end
