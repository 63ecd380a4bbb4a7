// @ts-check
/** The state of the proxy as it is now, and whether it really is: everything that the console shows comes from here. */

import { Problem, access, call, stream, token } from './api.js';
import { mergePatch } from './merge_patch.js';

/** Without a word for so long, the connection is lost: the proxy gives a sign of life each five seconds. */
const SILENCE_MS = 6_500;

/** How long an answer is waited for that should come at once. */
const PATIENCE_MS = 5_000;

/** A stream that lasted so long and then ended in order was ended by a restart or an upgrade. */
const LASTED_MS = 2_000;

/** Time between two tries to connect, the first and the longest. */
const RETRY_MS = [250, 3_000];

/** What a token is told that was good, or stood in this tab. */
const NO_MORE = 'Your token is not good any more: it was replaced, or taken out of the config file.';

/**
 * @typedef {"connecting" | "live" | "lost" | "denied"} Connection
 * `denied`: it wants a token, or does not take the one there is.
 */

class Live extends EventTarget {
  /** The document of `GET /v1/events`. @type {any} */
  state = null;
  /** Counts the states, so that what was made of one can be kept until the next. */
  edition = 0;
  /** @type {Connection} */
  connection = 'connecting';
  /** Since when it is so. */
  since = new Date();
  /** When the proxy last gave a sign of life: what is shown is from then. */
  heardAt = new Date();
  /** Why it is denied or lost, in the API's words. */
  why = '';
  /** @type {"read" | "operate"} */
  role = 'read';
  /** Who this is, as the proxy calls them. */
  name = '';
  /** Whether no tokens are configured: everybody who gets here may do everything. */
  open = false;

  #lastEventId = '';
  /** @type {AbortController | null} */
  #reading = null;
  /** Ends the attempt that is under way; the next one follows. @type {AbortController | null} */
  #attempt = null;
  /** Ends the pause before the next attempt. */
  #hurry = () => {};

  constructor() {
    super();
    // While it connects, it learns that by itself.
    access.addEventListener('denied', () => {
      if (this.connection === 'live') void this.start();
    });
    setInterval(() => this.check(), 1_000);
    for (const what of ['online', 'pageshow', 'focus']) addEventListener(what, () => this.check(true));
    document.addEventListener('visibilitychange', () => this.check(!document.hidden));
  }

  /** Begins to read, anew if it reads already: with another token. */
  async start() {
    this.#reading?.abort();
    const reading = new AbortController();
    this.#reading = reading;
    this.#lastEventId = '';
    let wait = RETRY_MS[0];
    while (!reading.signal.aborted) {
      const attempt = new AbortController();
      this.#attempt = attempt;
      const began = Date.now();
      try {
        await this.#read(AbortSignal.any([reading.signal, attempt.signal]), () => (wait = RETRY_MS[0]));
        if (reading.signal.aborted) return;
        // The successor of the proxy may be there already, and is asked at once.
        if (Date.now() - began > LASTED_MS) continue;
        this.#become('lost', 'the proxy ended the connection');
      } catch (error) {
        if (reading.signal.aborted) return;
        if (error instanceof Problem && error.status === 401) return this.#deny(token.get() ? NO_MORE : '');
        const told = error instanceof Problem ? error.message : 'the connection to the proxy broke';
        this.#become('lost', attempt.signal.aborted ? this.why : told);
      }
      await new Promise((done) => {
        const timer = setTimeout(done, wait);
        this.#hurry = () => {
          clearTimeout(timer);
          done(undefined);
        };
      });
      wait = Math.min(wait * 2, RETRY_MS[1]);
    }
  }

  /** Forgets the token, and all that was read with it. */
  logOut() {
    this.#reading?.abort();
    this.#deny('');
  }

  /**
   * Looks at the clock: a computer that slept, or a page that was in the background, must not show what is old as new.
   *
   * @param {boolean} [now] whether a next attempt is to be made at once
   */
  check(now = false) {
    if (this.connection === 'live' && Date.now() - this.heardAt.getTime() > SILENCE_MS) {
      this.#become('lost', 'the proxy says nothing any more');
      this.#attempt?.abort();
    }
    if (now && this.connection === 'lost') this.#hurry();
  }

  /**
   * @param {AbortSignal} signal
   * @param {() => void} connected
   */
  async #read(signal, connected) {
    const patience = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
    const who = await call('GET', 'v1/whoami', { signal: patience, quiet: true });
    const silent = new AbortController();
    let timer = setTimeout(() => silent.abort(), SILENCE_MS);
    try {
      const terms = { signal: AbortSignal.any([signal, silent.signal]), lastEventId: this.#lastEventId, quiet: true };
      for await (const heard of stream('GET', 'v1/events', terms)) {
        clearTimeout(timer);
        timer = setTimeout(() => silent.abort(), SILENCE_MS);
        this.heardAt = new Date();
        connected();
        Object.assign(this, { role: who.role, name: who.name, open: who.open });
        if (heard.id) this.#lastEventId = heard.id;
        if (heard.event === 'snapshot') this.#take(JSON.parse(heard.data), null);
        else if (heard.event === 'change') this.#take(this.state, JSON.parse(heard.data));
        else if (this.state && this.connection !== 'live') this.#become('live', '');
      }
    } catch (error) {
      if (silent.signal.aborted && !signal.aborted) throw new Problem(0, { detail: 'the proxy says nothing any more' });
      throw error;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * @param {any} state
   * @param {any} patch none: everything is new
   */
  #take(state, patch) {
    this.state = patch ? mergePatch(state, patch) : state;
    this.edition += 1;
    if (this.connection !== 'live') this.#become('live', '');
    this.dispatchEvent(new CustomEvent('change', { detail: patch }));
  }

  /**
   * Without access nothing may stay that was read with it.
   *
   * @param {string} why
   */
  #deny(why) {
    token.forget();
    Object.assign(this, { state: null, role: 'read', name: '' });
    this.edition += 1;
    this.#lastEventId = '';
    this.#become('denied', why);
  }

  /**
   * @param {Connection} connection
   * @param {string} why
   */
  #become(connection, why) {
    if (this.connection !== connection) this.since = new Date();
    this.connection = connection;
    this.why = why;
    this.dispatchEvent(new Event('connection'));
  }
}

export const live = new Live();

/** Whether buttons that change something make sense: not with a token that may only read. */
export function canAct() {
  return live.role === 'operate';
}
