// A page in a real browser: `browser.cjs PROGRAM PROFILE URL` opens it, and then each line of its input is a command for
// the page's `command(...)`. What that returns, and what the page says by itself with `say(...)`, comes out as lines of
// JSON, each with the calls for flags that the browser has made since the last one. `{"reload":true}` loads the page anew.
'use strict';

const { spawn } = require('node:child_process');
const { createInterface } = require('node:readline');

const [, , program, profile, url] = process.argv;
const browser = spawn(
  program,
  [
    '--headless',
    // The sandbox of a browser does not work for root, as whom tests run in containers; what is opened is our own page.
    '--no-sandbox',
    '--disable-gpu',
    '--disable-dev-shm-usage',
    '--no-first-run',
    '--no-proxy-server',
    '--disable-background-networking',
    // Nothing but the proxy is asked for, whatever a browser would like to know.
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1',
    '--ignore-certificate-errors',
    `--user-data-dir=${profile}`,
    '--remote-debugging-pipe',
  ],
  { stdio: ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] },
);
const [, , , commands, events] = browser.stdio;

const end = (code) => {
  browser.kill('SIGKILL');
  process.exit(code);
};
const fail = (error) => {
  process.stdout.write(`${JSON.stringify({ failed: String(error?.stack ?? error) })}\n`);
  end(1);
};
// A test that died must leave nothing behind.
setTimeout(() => end(3), 150_000).unref();
browser.on('error', fail);
browser.on('exit', (code, signal) => fail(`${program} ended: ${code ?? signal}`));
// The browser closes by itself when this end of its pipe is gone; then it has nothing to read.
commands.on('error', () => {});

let sent = 0;
const waiting = new Map();
// DevTools' protocol: JSON with a NUL behind it, here by a pipe.
const ask = (method, params = {}, sessionId = undefined) =>
  new Promise((resolve, reject) => {
    waiting.set(++sent, { resolve, reject });
    commands.write(`${JSON.stringify({ id: sent, method, params, sessionId })}\0`);
  });

// What goes over the wire, as the browser tells it: the provider does the asking, by the browser's own `fetch`.
const calls = new Map();
const tell = (facts) => {
  const done = [...calls].filter(([, call]) => call.status !== undefined);
  done.forEach(([id]) => calls.delete(id));
  process.stdout.write(`${JSON.stringify({ ...facts, calls: done.map(([, call]) => call) })}\n`);
};
const known = (headers) => Object.entries(headers).find(([name]) => name.toLowerCase() === 'if-none-match')?.[1] ?? null;
const happened = {
  'Network.requestWillBeSent': ({ requestId, request }) => {
    const path = new URL(request.url).pathname;
    if (path.startsWith('/ofrep/v1/evaluate')) calls.set(requestId, { path, known: known(request.headers) });
  },
  'Network.responseReceived': ({ requestId, response }) => {
    const call = calls.get(requestId);
    if (call) Object.assign(call, { status: response.status, protocol: response.protocol });
  },
  'Runtime.bindingCalled': ({ payload }) => tell(JSON.parse(payload)),
  'Runtime.exceptionThrown': ({ exceptionDetails }) => fail(JSON.stringify(exceptionDetails)),
};
const heard = ({ id, method, params, result, error }) => {
  if (id === undefined) return happened[method]?.(params);
  const { resolve, reject } = waiting.get(id);
  waiting.delete(id);
  return error ? reject(new Error(error.message)) : resolve(result);
};
let rest = '';
events.setEncoding('utf8').on('data', (data) => {
  const messages = (rest + data).split('\0');
  rest = messages.pop();
  messages.forEach((message) => heard(JSON.parse(message)));
});

async function main() {
  const { targetId } = await ask('Target.createTarget', { url: 'about:blank' });
  const { sessionId } = await ask('Target.attachToTarget', { targetId, flatten: true });
  const page = (method, params) => ask(method, params, sessionId);
  await page('Runtime.enable');
  await page('Network.enable');
  await page('Runtime.addBinding', { name: 'said' });
  await page('Page.navigate', { url });
  for await (const line of createInterface({ input: process.stdin })) {
    const command = JSON.parse(line);
    if (command.end) break;
    if (command.reload) {
      await page('Page.reload');
      continue;
    }
    const params = { expression: `command(${line})`, awaitPromise: true, returnByValue: true };
    const { result, exceptionDetails } = await page('Runtime.evaluate', params);
    if (exceptionDetails) return fail(JSON.stringify(exceptionDetails));
    tell(result.value);
  }
  browser.removeAllListeners('exit');
  browser.on('exit', () => process.exit(0));
  ask('Browser.close').catch(() => {});
}

main().catch(fail);
