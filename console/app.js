// @ts-check
/** The frame: who is here, whether what is shown is so now, and the room that is looked at. */

import { place, token } from './api.js';
import { ChaosAlarm } from './chaos_alarm.js';
import { h, replace, setAttribute, setText } from './dom.js';
import { allFacts, refusals, troubles, waitingRollouts } from './facts.js';
import { duration, when } from './format.js';
import { live } from './live.js';
import { login } from './login.js';
import { notice, prepareNotices } from './notice.js';
import { ROOMS, roomOf, to } from './rooms.js';
import { prepareTheme, switchTheme } from './theme.js';

const NAME = 'Pointsman';

/** Under which room of the navigation the others are, by the first part of their paths. */
const WITHIN = new Map([['service', ''], ['rollout', 'rollouts'], ['start', 'rollouts'], ['flag', 'flags'], ['experiment', 'experiments'], ['chaos', 'chaos']]);

class App {
  #nav = h('nav', { 'aria-label': 'Rooms' });
  #connection = h('span', { class: 'connection', role: 'status' });
  #who = h('span', { class: 'who' });
  #out = h('button', { type: 'button', class: 'quiet', hidden: true, onclick: () => live.logOut() }, 'Log out');
  #alarm = new ChaosAlarm();
  #main = h('main', { id: 'main', tabindex: '-1' });
  #banner = h('div', { class: 'banner', role: 'alert', hidden: true });
  /** @type {import('./rooms.js').RoomElement | null} */
  #room = null;
  /** The hash of the room that is shown. */
  #hash = '';
  /** How often a room was entered, so that one that loads slowly does not come after the next. */
  #entered = 0;
  #asked = false;
  #shown = '';
  /** As whom the room that is shown was made. */
  #caller = '';
  /** The version of the proxy that this page is of. */
  #version = '';
  #process = '';
  /** Where each room was left. @type {Map<string, number>} */
  #scrolled = new Map();
  #clicked = false;
  /** Whether a room is to be entered as soon as there is a state, and the reader came from another one. @type {boolean | null} */
  #waits = null;
  /** Why the room cannot show what is new: a mistake of ours. */
  #broken = '';

  start() {
    prepareTheme();
    const skip = h('a', { class: 'skip', href: '#main', onclick: (/** @type {Event} */ event) => this.#skip(event) }, 'To the content');
    const brand = h('a', { class: 'brand', href: to() }, h('img', { src: 'console/icon.svg', alt: '', width: 24, height: 24 }), NAME);
    const theme = h('button', { type: 'button', class: 'quiet theme', 'aria-label': 'Light or dark', title: 'Light or dark', onclick: switchTheme }, '◐');
    const end = h('div', { class: 'end' }, this.#connection, this.#who, this.#out, theme);
    document.body.append(skip, h('header', {}, brand, this.#nav, end, this.#alarm.element), this.#banner, this.#main);
    prepareNotices();
    live.addEventListener('change', () => this.#soon());
    live.addEventListener('connection', () => this.#connected());
    // A frame that was asked for is not drawn any more in the background.
    document.addEventListener('visibilitychange', () => this.#asked && setTimeout(() => this.#refresh(), 0));
    addEventListener('hashchange', () => this.#moved());
    addEventListener('click', (event) => (this.#clicked = event.target instanceof Element && event.target.closest('a') !== null), true);
    addEventListener('scroll', () => this.#scrolled.set(this.#hash, scrollY), { passive: true });
    history.scrollRestoration = 'manual';
    setInterval(() => this.#status(), 1_000);
    void live.start();
    void this.#enter(false);
  }

  /** @param {Event} event */
  #skip(event) {
    event.preventDefault();
    this.#main.focus();
  }

  /** Shows what is new with the next frame, once for all that comes before it. */
  #soon() {
    if (live.state) refusals.note(live.state);
    if (this.#asked) return;
    this.#asked = true;
    // A page in the background draws no frames, and its title has to tell all the same.
    if (document.hidden) setTimeout(() => this.#refresh(), 0);
    else requestAnimationFrame(() => this.#refresh());
  }

  #refresh() {
    this.#asked = false;
    const { state } = live;
    if (!state) return;
    if (this.#waits !== null) {
      const moved = this.#waits;
      this.#waits = null;
      void this.#enter(moved);
    }
    this.#process ||= state.started_at;
    this.#version ||= state.version;
    if (state.started_at !== this.#process) {
      this.#process = state.started_at;
      notice(`The proxy was restarted, at ${when(state.started_at)}.`);
    }
    this.#navigation();
    this.#alarm.refresh(state);
    try {
      this.#room?.refresh(state);
      this.#broken = '';
    } catch (error) {
      // What the page shows then is old, and that must not be overlooked.
      this.#broken = String(error);
      reportError(error);
    }
    this.#status();
  }

  #navigation() {
    const here = roomOf(location.hash)?.room;
    const rooms = ROOMS.filter((room) => room.nav && (room.shown?.(live.state) ?? true));
    const waiting = waitingRollouts(live.state);
    const key = `${here?.path} ${waiting} ${rooms.map((room) => room.path).join(' ')}`;
    if (key === this.#shown) return;
    this.#shown = key;
    const current = (/** @type {import('./rooms.js').Room} */ room) =>
      room === here ? 'page' : here && WITHIN.get(here.path.split('/')[0] ?? '') === room.path ? 'true' : null;
    replace(this.#nav, rooms.map((room) => h('a', { href: to(...room.path.split('/').filter(Boolean)), 'aria-current': current(room) }, room.nav ?? '',
      room.path === 'rollouts' && waiting > 0
        ? h('span', { class: 'count' }, String(waiting), h('span', { class: 'heard' }, waiting === 1 ? ' waits for a person' : ' wait for a person'))
        : null)));
    // On a phone there are more of them than fit beside each other.
    this.#nav.querySelector('[aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  /** The connection has become another one. */
  #connected() {
    const caller = `${live.name} ${live.role}`;
    if (live.connection === 'denied') {
      this.#ask();
    } else if (live.connection === 'live') {
      // Who may do other things sees other buttons.
      if (this.#caller && this.#caller !== caller) void this.#enter(false);
      this.#caller = caller;
    }
    this.#status();
  }

  /** What the frame says of the connection, and the title of what is wrong. */
  #status() {
    const { connection, since, heardAt } = live;
    const lost = connection === 'lost';
    const words = { connecting: 'connecting', live: 'live', lost: 'lost', denied: 'no access' };
    setText(this.#connection, words[connection]);
    setAttribute(this.#connection, 'data-state', connection);
    const stale = lost && live.state;
    this.#main.classList.toggle('stale', Boolean(stale) || this.#broken !== '');
    this.#tell(lost, lost ? duration((Date.now() - since.getTime()) / 1_000) : '');
    const known = connection !== 'denied' && live.name !== '' && !live.open;
    setText(this.#who, known ? `${live.name}${live.role === 'read' ? ', may only look' : ''}` : '');
    this.#out.hidden = !(known && token.get());
    this.#nav.hidden = connection === 'denied';
    this.#title();
    if (stale) setAttribute(this.#main, 'data-from', when(heardAt));
  }

  /**
   * Says across the page what cannot be overlooked.
   *
   * @param {boolean} lost
   * @param {string} time
   */
  #tell(lost, time) {
    const other = live.state && this.#version !== '' && live.state.version !== this.#version;
    const old = lost ? '' : other ? `The proxy is now version ${live.state.version}, and this page is of ${this.#version}.` : this.#broken && `This page cannot show what is new, by a mistake in it (${this.#broken}).`;
    this.#banner.hidden = !lost && !old;
    setAttribute(this.#banner, 'class', lost ? 'banner lost' : 'banner');
    const what = lost ? `${live.why} ${Boolean(live.state)}` : old;
    if (this.#banner.dataset.told !== what) {
      this.#banner.dataset.told = what;
      const from = live.state ? ` What is shown is from ${when(live.heardAt)}.` : '';
      if (lost) replace(this.#banner, h('span', {}, `The connection to the proxy is lost: ${live.why}.${from} `), h('span', { 'aria-hidden': 'true', class: 'time' }));
      if (old) replace(this.#banner, h('span', {}, `${old} `), h('button', { type: 'button', onclick: () => location.reload() }, 'Load the page anew'));
    }
    const told = this.#banner.querySelector('.time');
    if (told && lost) setText(told, `Trying again, for ${time} now.`);
  }

  /** The title tells also those who look at another page. */
  #title() {
    const found = roomOf(location.hash);
    const room = live.connection === 'denied' ? 'Log in' : found ? found.room.title(found.params) : 'No such page';
    document.title = `${this.#mark()}${room} – ${NAME}`;
  }

  #mark() {
    if (live.connection === 'lost') return '⚠ Connection lost – ';
    if (!live.state) return '';
    const facts = allFacts(live.state, live.edition);
    const bad = facts.filter((one) => one.bad.length > 0).length + troubles(live.state).filter((one) => one.bad).length;
    const waiting = waitingRollouts(live.state);
    return `${bad > 0 ? `⚠ ${bad} ` : ''}${waiting > 0 ? `(${waiting}) ` : ''}`;
  }

  #moved() {
    const clicked = this.#clicked;
    this.#clicked = false;
    void this.#enter(true, clicked ? 0 : this.#scrolled.get(location.hash) ?? 0);
  }

  /**
   * Enters the room of the address.
   *
   * @param {boolean} moved whether the reader came from another room, and their place is to follow
   * @param {number} [scroll]
   */
  async #enter(moved, scroll = 0) {
    if (live.connection === 'denied') return;
    // What a room shows depends on who looks at it, which is not known before there is a state.
    if (!live.state) {
      this.#waits = moved;
      const next = roomOf(location.hash);
      if (next) void made(next);
      if (!this.#main.hasChildNodes() || moved) replace(this.#main, h('p', { class: 'empty' }, 'Asking the proxy …'));
      return;
    }
    const entered = ++this.#entered;
    const { hash } = location;
    const found = roomOf(hash);
    const element = found ? await made(found) : null;
    if (entered !== this.#entered) return;
    this.#hash = hash;
    this.#broken = '';
    this.#room = element instanceof HTMLElement && 'refresh' in element ? /** @type {any} */ (element) : null;
    dress(found?.room.file ?? '');
    replace(this.#main, element ?? h('div', { class: 'empty' }, h('h1', {}, 'There is no such page'), h('a', { href: to() }, 'All services')));
    this.#refresh();
    this.#title();
    if (!moved) return;
    scrollTo(0, scroll);
    const heading = this.#main.querySelector('h1');
    setAttribute(heading ?? this.#main, 'tabindex', '-1');
    (heading ?? this.#main).focus({ preventScroll: true });
  }

  /** Asks for a token, in place of all that was shown. */
  #ask() {
    this.#room = null;
    this.#entered += 1;
    this.#caller = '';
    this.#shown = '';
    for (const dialog of document.querySelectorAll('dialog')) dialog.close();
    const form = login(live.why, () => {
      live.connection = 'connecting';
      void live.start();
      void this.#enter(true);
    });
    replace(this.#main, form);
    form.querySelector('input')?.focus();
  }
}

/**
 * The element of a room, or why there is none.
 *
 * @param {NonNullable<ReturnType<typeof roomOf>>} found
 * @returns {Promise<HTMLElement>}
 */
async function made({ room, params }) {
  try {
    await Promise.all([import(`./rooms/${room.file}.js`), room.css ? stylesheet(room.file) : null]);
  } catch (error) {
    return h('div', { class: 'empty' }, h('h1', {}, 'This page could not be loaded'), h('p', { class: 'problem', role: 'alert' }, String(error instanceof Error ? error.message : error)),
      h('button', { type: 'button', onclick: () => location.reload() }, 'Load the console anew'));
  }
  const element = /** @type {import('./rooms.js').RoomElement} */ (document.createElement(room.tag));
  element.params = params;
  return element;
}

/** @param {string} file */
function stylesheet(file) {
  const { href } = place(`console/rooms/${file}.css`);
  if ([...document.querySelectorAll('link')].some((link) => link.href === href)) return undefined;
  return new Promise((done) => document.head.append(
    h('link', { rel: 'stylesheet', href, media: 'not all', 'data-room': file, onload: done, onerror: done })));
}

/**
 * What a room looks like is said by its own stylesheet, and not by those of the rooms before.
 *
 * @param {string} file
 */
function dress(file) {
  for (const link of /** @type {NodeListOf<HTMLLinkElement>} */ (document.querySelectorAll('link[data-room]'))) {
    const media = link.dataset.room === file ? 'all' : 'not all';
    if (link.media !== media) link.media = media;
  }
}

new App().start();
