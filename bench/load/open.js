// Open loop, for k6: RATE notifications a second, whether or not the last ones were answered.
// SIDE is where three of ten go: "" (nowhere else), "hot" (all to one chat), or a typeWebhook of their own.
import http from 'k6/http';
import exec from 'k6/execution';

const { URL, RUN, RATE, SECONDS, SIDE } = __ENV;
const INSTANCES = 20;
const CHATS = 500;

export const options = {
  discardResponseBodies: true,
  systemTags: ['status'],
  scenarios: {
    load: {
      executor: 'constant-arrival-rate',
      rate: Number(RATE),
      timeUnit: '1s',
      duration: `${SECONDS}s`,
      preAllocatedVUs: 200,
      gracefulStop: '5s',
    },
  },
};

const params = { headers: { 'Content-Type': 'application/json' } };

export default function () {
  const number = exec.scenario.iterationInTest;
  const aside = SIDE && number % 10 < 3;
  const chat = aside && SIDE === 'hot' ? '78000000000@c.us' : `${79000000000 + (number % CHATS)}@c.us`;
  http.post(URL, JSON.stringify({
    typeWebhook: aside && SIDE !== 'hot' ? SIDE : 'incomingMessageReceived',
    instanceData: {
      idInstance: 1101000001 + (chat === '78000000000@c.us' ? 0 : number % INSTANCES),
      wid: '71231234567@c.us',
      typeInstance: 'whatsapp',
    },
    timestamp: 1588091580,
    idMessage: `${RUN}-${number}`,
    senderData: { chatId: chat, sender: chat, chatName: 'Somebody', senderName: 'Somebody' },
    messageData: { typeMessage: 'textMessage', textMessageData: { textMessage: 'Good morning to you all' } },
  }), params);
}
