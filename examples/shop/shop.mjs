// PARLEY_TOKEN=… node examples/shop/shop.mjs: each order has a chat between the customer and the seller. docs/integration.md
// explains each step, and how to start Parley. To order: curl localhost:4100/orders -d '{"customer": "ann", "item": "a lamp"}'
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { Parley, verifyWebhook } from '@parley/server';

const { PARLEY_URL = 'http://localhost:4000/graphql', PARLEY_TOKEN = '', PORT = '4100' } = process.env;
const shopUrl = `http://127.0.0.1:${PORT}`;
const parley = new Parley({ url: PARLEY_URL, token: PARLEY_TOKEN });
const page = await readFile(new URL('order.html', import.meta.url));
const orders = new Map(); // Customers by order. A real shop has a database.

const MESSAGES = `subscription ($chatroomId: ID!) { chatroomEvents(chatroomId: $chatroomId) {
  chatroom { externalId } ... on MessageAdded { message { body sender { externalId } } } } }`;

async function placeOrder({ customer, item }) {
  const order = String(orders.size + 1);
  orders.set(order, customer);
  await parley.upsertUsers([{ externalId: customer, nickname: customer }]);
  const externalId = `order-${order}`;
  const people = { ownerExternalId: 'seller', memberExternalIds: [customer] };
  await parley.createChatroom({ kind: 'GROUP', name: `Order ${order}: ${item}`, externalId, ...people });
  const body = `Order ${order} was placed: ${item}.`;
  await parley.sendSystemMessage({ chatroomExternalId: externalId, body, clientMessageId: 'placed' });
  return { order, url: `${shopUrl}/orders/${order}` };
}

/** What the customer's page needs. A real shop first checks that the customer is signed in. */
async function openChat(order) {
  const { id } = await parley.findChatroom(`order-${order}`);
  const { accessToken } = await parley.createAccessToken(orders.get(order));
  return { url: PARLEY_URL, accessToken, chatroomId: id };
}

/** Answers the customer. The id of the event makes sure that a repeated event gets no second answer. */
async function receive(event) {
  const { chatroom, message } = event.body.data.chatroomEvents;
  if (!message?.sender || message.sender.externalId === 'seller' || !chatroom.externalId) return;
  const reply = { chatroomExternalId: chatroom.externalId, asUserExternalId: 'seller', clientMessageId: event.id };
  await parley.sendMessage({ ...reply, body: `Thank you. We look into "${message.body}".` });
}

const server = createServer(async (request, response) => {
  const [, first, order, last] = request.url.split('/');
  const respond = (status, body) => response.writeHead(status).end(body && JSON.stringify(body));
  try {
    if (first === 'webhook') respond(204, await receive(verifyWebhook(await text(request), request.headers, secret)));
    else if (request.method === 'POST') respond(201, await placeOrder(JSON.parse(await text(request))));
    else if (last === 'chat' && orders.has(order)) respond(200, await openChat(order));
    else response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(page);
  } catch (error) {
    respond(first === 'webhook' ? 400 : 500, { error: error.message });
  }
});
await parley.upsertUsers([{ externalId: 'seller', username: 'seller', nickname: 'The shop' }]);
const known = (await parley.listWebhooks()).find(({ name }) => name === 'shop');
const webhook = { name: 'shop', url: `${shopUrl}/webhook`, events: ['MESSAGE_ADDED'], document: MESSAGES };
const secret = known ? await parley.rotateWebhookSecret(known.id) : (await parley.createWebhook(webhook)).secret;
server.listen(Number(PORT), '127.0.0.1', () => console.log(`The shop is at ${shopUrl}`));
