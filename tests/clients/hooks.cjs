// The headers by which a forge's hook is believed, made by the libraries that forges and their users sign with:
// `hooks.cjs FOLDER github SECRET BODY`, or `hooks.cjs FOLDER standard SECRET BODY SECONDS` for the time that it says.
'use strict';

const { createRequire } = require('node:module');
const { join } = require('node:path');

// The packages are in the folder of the build, and not beside this file.
const [, , folder, form, secret, body, seconds] = process.argv;

const github = async () => {
  // A package for `import` only, so that `require` does not find its file.
  const { sign } = await import(join(folder, 'node_modules/@octokit/webhooks-methods/dist-node/index.js'));
  return { 'X-Hub-Signature-256': await sign(secret, body) };
};

const standard = () => {
  const { Webhook } = createRequire(`${folder}/`)('standardwebhooks');
  const id = 'msg_1';
  const signature = new Webhook(secret).sign(id, new Date(Number(seconds) * 1000), body);
  return { 'webhook-id': id, 'webhook-timestamp': seconds, 'webhook-signature': signature };
};

const print = (headers) => process.stdout.write(`${JSON.stringify(headers)}\n`);
Promise.resolve({ github, standard }[form]()).then(print);
