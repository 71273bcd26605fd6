-- Text messages of 500 chats, each with an idMessage of its own.
local number = 0
request = function()
  number = number + 1
  local body = string.format('{"typeWebhook":"incomingMessageReceived","instanceData":{"idInstance":1101000001,'
    .. '"wid":"71231234567@c.us","typeInstance":"whatsapp"},"timestamp":1588091580,"idMessage":"%s-%d",'
    .. '"senderData":{"chatId":"7900%d@c.us","sender":"7900%d@c.us","chatName":"Somebody","senderName":"Somebody"},'
    .. '"messageData":{"typeMessage":"textMessage","textMessageData":{"textMessage":"Good morning to you all"}}}',
    os.getenv("RUN"), number, number % 500, number % 500)
  return wrk.format("POST", "/webhook", {["Content-Type"] = "application/json"}, body)
end
