-- One touchpoint a request, each with an id of its own.
local number = 0
local run = os.time()

function request()
  number = number + 1
  local row = string.format(
    '{"touch_id":"r%d-%d","customer_id":"c%d","touched_at":"2026-11-%02dT10:00:00Z","channel":"email","cost":"1.00"}\n',
    run, number, number % 1000, number % 28 + 1)
  return wrk.format("POST", nil, {["Content-Type"] = "application/x-ndjson"}, row)
end
