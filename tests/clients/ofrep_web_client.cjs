// What a page with OpenFeature's SDK for the web and its OFREP provider gets from the proxy, in Node: with a localStorage
// and an EventSource that browsers have of their own. Commands come as lines of JSON, and facts go out as such.
'use strict';

const { createInterface } = require('node:readline');
const { createRequire } = require('node:module');

// The packages are in the folder of the build, and not beside this file.
const [, , folder, baseUrl] = process.argv;
const load = createRequire(`${folder}/`);
globalThis.EventSource = load('eventsource').EventSource;
const stored = new Map();
globalThis.localStorage = {
  getItem: (key) => stored.get(key) ?? null,
  setItem: (key, value) => void stored.set(key, String(value)),
  removeItem: (key) => void stored.delete(key),
};
const { OpenFeature, ProviderEvents } = load('@openfeature/web-sdk');
const { OFREPWebProvider } = load('@openfeature/ofrep-web-provider');

const say = (facts) => process.stdout.write(`${JSON.stringify(facts)}\n`);
// A test that died must leave nothing behind.
setTimeout(() => process.exit(3), 150_000).unref();

// What goes over the wire, to be told: the provider does the asking.
const calls = [];
const fetchImplementation = async (request, ...rest) => {
  const asked = new Request(request, ...rest);
  const known = asked.headers.get('if-none-match');
  const response = await fetch(asked);
  calls.push({ status: response.status, known, path: new URL(asked.url).pathname });
  return response;
};

const tell = (client) => {
  const { value, variant, reason } = client.getBooleanDetails('theme', false);
  const text = client.getStringValue('text', 'none');
  const share = client.getNumberValue('share', -1);
  say({ theme: value, variant, reason, text, share, calls: calls.splice(0), stored: stored.size });
};

async function main() {
  await OpenFeature.setContext({ targetingKey: 'ann', plan: 'free' });
  const client = OpenFeature.getClient();
  client.addHandler(ProviderEvents.ConfigurationChanged, (details) => {
    say({ changed: [...details.flagsChanged].sort() });
  });
  await OpenFeature.setProviderAndWait(new OFREPWebProvider({ baseUrl, fetchImplementation, cacheMode: 'network-first' }));
  tell(client);
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.context) await OpenFeature.setContext(command.context);
    if (command.end) break;
    tell(client);
  }
  await OpenFeature.close();
  process.exit(0);
}

main().catch((error) => {
  say({ failed: String(error?.stack ?? error) });
  process.exit(1);
});
