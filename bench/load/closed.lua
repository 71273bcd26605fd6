-- Closed loop, for wrk: each connection sends its next notification once the last was answered.
-- RUN makes the idMessages of a run its own; TYPE is their typeWebhook, CHATS how many chats there are; of ten
-- notifications HOT are of one chat more.
local run, kind, chats = os.getenv("RUN"), os.getenv("TYPE"), tonumber(os.getenv("CHATS"))
local hot = tonumber(os.getenv("HOT"))
local number = 0

request = function()
  number = number + 1
  local chat = 79000000000 + number % chats
  if (number + math.floor(number / chats)) % 10 < hot then chat = 78000000000 end
  local body = string.format('{"typeWebhook":"%s","instanceData":{"idInstance":1101000001,'
    .. '"wid":"71231234567@c.us","typeInstance":"whatsapp"},"timestamp":1588091580,"idMessage":"%s-%d",'
    .. '"senderData":{"chatId":"%d@c.us","sender":"%d@c.us","chatName":"Somebody","senderName":"Somebody"},'
    .. '"messageData":{"typeMessage":"textMessage","textMessageData":{"textMessage":"Good morning to you all"}}}',
    kind, run, number, chat, chat)
  return wrk.format("POST", nil, {["Content-Type"] = "application/json"}, body)
end

done = function(summary)
  local errors = summary.errors
  io.write(string.format('{"requests":%d,"microseconds":%d,"errors":%d}\n', summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
