// @ts-check
/** Calls of the admin API, of the same origin as the page, and below the same path. */

const TOKEN = 'pointsman-token';

/** In a browser that stores nothing for us the token lasts as long as the page. @type {string | null} */
let unstored = null;

/** The token of this tab; it is gone when the tab is closed. */
export const token = {
  /** @returns {string | null} */
  get() {
    try {
      return sessionStorage.getItem(TOKEN);
    } catch {
      return unstored;
    }
  },
  /** @param {string} text */
  set(text) {
    unstored = text;
    try {
      sessionStorage.setItem(TOKEN, text);
    } catch {
      // It is kept above.
    }
  },
  forget() {
    unstored = null;
    try {
      sessionStorage.removeItem(TOKEN);
    } catch {
      // Nothing was stored.
    }
  },
};

/** Says `denied` when a call is refused because its token is no good (any more). */
export const access = new EventTarget();

/**
 * One thing that is wrong with a call.
 *
 * @typedef {{ where: string, found: string, wanted: string, remedy: string }} ProblemItem
 */

/** Why a call was refused, as the API words it (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status 0: no answer at all
   * @param {{ type?: string, title?: string, detail?: string, problems?: ProblemItem[], [member: string]: unknown }} body
   */
  constructor(status, body) {
    super(body.detail ?? body.title ?? `the proxy answered ${status}`);
    this.status = status;
    this.body = body;
  }

  /** The stable word for what kind it is: `no_endpoint`. */
  get kind() {
    return this.body.type?.split(':').at(-1) ?? '';
  }
}

/**
 * Where the API is: the page may be below a path of another proxy.
 *
 * @param {string} path without a slash at its beginning
 */
export function place(path) {
  return new URL(path, new URL('.', document.baseURI));
}

/**
 * @typedef {object} Terms
 * @property {unknown} [body]
 * @property {boolean} [dryRun] only tell what would happen
 * @property {number} [ifMatch] only if this revision is in force
 * @property {AbortSignal} [signal]
 * @property {string} [lastEventId]
 * @property {string} [token] instead of that of this tab
 * @property {boolean} [quiet] who asks looks at a 401 themselves
 */

/**
 * @param {string} method
 * @param {string} path
 * @param {Terms} terms
 * @param {string} accept
 */
async function send(method, path, terms, accept) {
  const url = place(path);
  if (terms.dryRun) url.searchParams.set('dry_run', 'true');
  const body = terms.body === undefined ? undefined : JSON.stringify(terms.body);
  /** @type {RequestInit} */
  const request = { method, headers: headers(terms, accept), body, signal: terms.signal, cache: 'no-store' };
  let response;
  try {
    response = await fetch(url, request);
  } catch (error) {
    if (terms.signal?.aborted) throw error;
    throw new Problem(0, { detail: 'the proxy does not answer' });
  }
  if (response.ok) return response;
  if (response.status === 401 && !terms.quiet) access.dispatchEvent(new Event('denied'));
  throw new Problem(response.status, await told(response));
}

/**
 * @param {Terms} terms
 * @param {string} accept
 */
function headers(terms, accept) {
  const lines = new Headers({ accept });
  const known = terms.token ?? token.get();
  if (known) lines.set('authorization', `Bearer ${known}`);
  if (terms.ifMatch !== undefined) lines.set('if-match', `"${terms.ifMatch}"`);
  if (terms.lastEventId) lines.set('last-event-id', terms.lastEventId);
  if (terms.body !== undefined) lines.set('content-type', 'application/json');
  return lines;
}

/**
 * What a refusal says. One that is not the API's own is of a proxy in between, and its page is not for us.
 *
 * @param {Response} response
 */
async function told(response) {
  const between = { detail: `the answer was ${response.status} ${response.statusText}`.trim() };
  if (!response.headers.get('content-type')?.includes('json')) return between;
  return response.json().catch(() => between);
}

/**
 * Calls the API, and gives what it answers.
 *
 * @param {string} method
 * @param {string} path such as `v1/services/shop`
 * @param {Terms} [terms]
 * @returns {Promise<any>}
 */
export async function call(method, path, terms = {}) {
  const response = await send(method, path, terms, 'application/json');
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

/**
 * What is there to be saved as a file.
 *
 * @param {string} path
 * @param {AbortSignal} signal
 */
export async function blob(path, signal) {
  const response = await send('GET', path, { signal }, '*/*');
  return response.blob();
}

/**
 * @typedef {object} StreamedEvent
 * @property {string} id
 * @property {string} event empty: a sign of life
 * @property {string} data
 */

/**
 * Reads server-sent events. The browser's own `EventSource` cannot send a token.
 *
 * @param {string} method
 * @param {string} path
 * @param {Terms} [terms]
 * @returns {AsyncGenerator<StreamedEvent>}
 */
export async function* stream(method, path, terms = {}) {
  const response = await send(method, path, terms, 'text/event-stream');
  if (!response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      // A long event comes in many pieces, and only the new one can have its end.
      const seen = Math.max(0, rest.length - 1);
      rest += value.replaceAll('\r', '');
      let from = 0;
      let end = rest.indexOf('\n\n', seen);
      if (end < 0) yield { id: '', event: '', data: '' };
      for (; end >= 0; end = rest.indexOf('\n\n', from)) {
        yield parsed(rest.slice(from, end));
        from = end + 2;
      }
      rest = rest.slice(from);
    }
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/**
 * @param {string} block
 * @returns {StreamedEvent}
 */
function parsed(block) {
  const event = { id: '', event: '', data: '' };
  /** @type {string[]} */
  const data = [];
  for (const line of block.split('\n')) {
    const colon = line.indexOf(':');
    if (colon <= 0) continue;
    const value = line.slice(colon + 1).replace(/^ /, '');
    const field = line.slice(0, colon);
    if (field === 'data') data.push(value);
    else if (field === 'id' || field === 'event') event[field] = value;
  }
  event.data = data.join('\n');
  if (data.length > 0 && !event.event) event.event = 'message';
  return event;
}
