// @ts-check
/** Every change of the traffic: who, when, why, and what it did; and the way back to each. */

import { act, problem } from '../action.js';
import { call } from '../api.js';
import { describe, differences, inWords, subjects } from '../change.js';
import { command } from '../command.js';
import { h, keyed, replace, setText } from '../dom.js';
import { ago, when } from '../format.js';
import { canAct } from '../live.js';
import { to } from '../rooms.js';

const PAGE = 50;

/** While something is searched for: the pages are larger, and as many of them are read before it asks whether to go on. */
const SEARCHED = { page: 500, pages: 4, enough: 20 };

class History extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  /** What was read, the newest first. @type {any[]} */
  #revisions = [];
  /** What to read next; none: there is nothing older. @type {number | null} */
  #next = null;
  /** The revision in force. */
  #inForce = 0;
  /** Only this one and older ones. */
  #from = 0;
  #busy = false;
  #known = '';
  #leaving = new AbortController();
  #about = h('input', {
    type: 'text',
    name: 'about',
    list: 'history-names',
    autocomplete: 'off',
    spellcheck: 'false',
    oninput: () => this.#filter(),
  });
  #text = h('input', { name: 'text', type: 'search', autocomplete: 'off', oninput: () => this.#filter() });
  #names = h('datalist', { id: 'history-names' });
  #buttons = h('div', { class: 'row' });
  #list = h('ol', { class: 'revisions' });
  #more = h('button', { type: 'button', onclick: () => void this.#load() }, 'Show older ones');
  #note = h('p', { class: 'dim', role: 'status' });
  #trouble = h('div', { role: 'alert' });
  #top = h('p', { hidden: true });

  connectedCallback() {
    const query = new URLSearchParams(location.hash.split('?')[1] ?? '');
    this.#from = Number(query.get('revision')) || 0;
    this.#about.value = query.get('about') ?? '';
    this.#text.value = query.get('text') ?? '';
    this.#top.hidden = this.#from === 0;
    replace(this.#top, `From revision ${this.#from} back. `, h('a', { href: to('history') }, 'Show the newest'));
    const filter = h('div', { class: 'row filter', role: 'search' },
      h('label', { class: 'field' }, 'Service, flag or experiment', this.#about),
      h('label', { class: 'field' }, 'Author, reason, action', this.#text), this.#names);
    this.append(
      h('div', { class: 'row heading' }, h('h1', {}, 'History'), this.#buttons),
      h('p', { class: 'dim' },
        'Every change of the traffic, the newest first. To restore one makes a new revision; drained endpoints stay drained.'),
      filter, this.#top, this.#trouble, this.#list, this.#note, h('p', {}, this.#more));
    void this.#load();
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  /** @param {any} state */
  refresh(state) {
    const names = [state.services, state.flags, state.experiments].flatMap((things) => Object.keys(things ?? {}));
    const known = names.join(' ');
    if (known !== this.#known) {
      this.#known = known;
      replace(this.#names, [...new Set(names)].map((name) => h('option', { value: name })));
    }
    if (state.revision !== this.#inForce) {
      this.#inForce = state.revision;
      if (this.#from === 0) void this.#newest();
      else this.#show();
    }
  }

  /** Reads what is older than what is there. */
  async #load() {
    if (this.#busy) return;
    this.#busy = true;
    this.#more.disabled = true;
    replace(this.#trouble);
    try {
      const wanted = this.#matching().length + SEARCHED.enough;
      for (let pages = 0; pages < SEARCHED.pages; pages += 1) {
        const before = this.#revisions.length > 0 ? this.#next : this.#from > 0 ? this.#from + 1 : null;
        if (this.#revisions.length > 0 && before === null) break;
        const limit = this.#filtered() ? SEARCHED.page : PAGE;
        const path = `v1/revisions?limit=${limit}${before ? `&before=${before}` : ''}`;
        const page = await call('GET', path, { signal: this.#leaving.signal });
        this.#revisions.push(...page.revisions);
        this.#next = page.next_before ?? null;
        this.#show();
        if (!this.#filtered() || this.#matching().length >= wanted || this.#next === null) break;
      }
    } catch (error) {
      if (!this.#leaving.signal.aborted) replace(this.#trouble, problem(error));
    } finally {
      this.#busy = false;
      this.#more.disabled = false;
      this.#show();
    }
  }

  /** Reads what has come since. */
  async #newest() {
    const newest = this.#revisions[0]?.revision;
    if (newest === undefined || newest >= this.#inForce) return this.#show();
    try {
      const page = await call('GET', `v1/revisions?limit=${PAGE}`, { signal: this.#leaving.signal });
      const known = this.#revisions[0]?.revision ?? 0;
      const fresh = page.revisions.filter((/** @type {any} */ one) => one.revision > known);
      if (fresh.length === page.revisions.length && page.next_before) {
        // More has come than a page has: what is older is read again on demand.
        this.#revisions = fresh;
        this.#next = page.next_before;
      } else {
        this.#revisions.unshift(...fresh);
      }
      replace(this.#trouble);
      this.#show();
    } catch (error) {
      if (!this.#leaving.signal.aborted) replace(this.#trouble, problem(error));
    }
  }

  #filter() {
    const query = new URLSearchParams();
    if (this.#from > 0) query.set('revision', String(this.#from));
    if (this.#about.value.trim()) query.set('about', this.#about.value.trim());
    if (this.#text.value.trim()) query.set('text', this.#text.value.trim());
    const text = query.toString();
    history.replaceState(null, '', `${to('history')}${text ? `?${text}` : ''}`);
    this.#show();
    if (this.#filtered() && this.#matching().length < SEARCHED.enough && this.#next !== null) void this.#load();
  }

  #filtered() {
    return this.#about.value.trim() !== '' || this.#text.value.trim() !== '';
  }

  #matching() {
    const about = this.#about.value.trim();
    const text = this.#text.value.trim().toLowerCase();
    if (!about && !text) return this.#revisions;
    const exact = this.#known.split(' ').includes(about);
    return this.#revisions.filter((one) => {
      if (about && !subjects(one).some((name) => (exact ? name === about : name.includes(about)))) return false;
      return !text || haystack(one).includes(text);
    });
  }

  #show() {
    const matching = this.#matching();
    const about = this.#about.value.trim();
    keyed(this.#list, matching, (one) => `${one.revision} ${scopeOf(one, about) ? about : ''}`,
      (one) => this.#entry(one), (entry, one) => this.#update(entry, one));
    const oldest = this.#revisions.at(-1)?.revision;
    this.#more.hidden = this.#next === null;
    setText(this.#more, this.#filtered() ? 'Look further back' : 'Show older ones');
    let note = '';
    if (this.#filtered() && oldest !== undefined) {
      const found = matching.length === 1 ? '1 revision' : `${matching.length} revisions`;
      note = this.#next === null ? `${found} of ${this.#revisions.length}.` : `${found} down to revision ${oldest}.`;
    } else if (!this.#busy && this.#revisions.length === 0) {
      note = 'There is no revision.';
    }
    setText(this.#note, note);
    this.#undo();
  }

  #undo() {
    const can = canAct() && this.#from === 0 && this.#revisions.length > 1;
    if (can === (this.#buttons.childElementCount > 0)) return;
    const title = 'Undo the last change';
    replace(this.#buttons, can && h('button', { type: 'button', onclick: () => void this.#rollback(title, null) }, title));
  }

  /**
   * @param {string} title
   * @param {number | null} revision
   * @param {{ services?: string[], flags?: string[], experiments?: string[] }} [only]
   */
  async #rollback(title, revision, only = {}) {
    const goal = revision === null ? {} : { to: revision };
    const scope = { service: only.services?.[0], flag: only.flags?.[0], experiment: only.experiments?.[0] };
    await act({
      title,
      does: revision === null ? 'Undo' : 'Restore',
      method: 'POST',
      path: 'v1/rollback',
      body: (reason) => ({ ...goal, ...only, ...(reason ? { reason } : {}) }),
      command: (reason) => command('rollback', { to: revision ?? undefined, ...scope, reason }),
      describe,
    });
  }

  /** @param {any} one */
  #entry(one) {
    const restores = one.restores
      ? h('span', {}, 'to ', h('a', { href: `${to('history')}?revision=${one.restores}` }, `revision ${one.restores}`))
      : null;
    const head = h('div', { class: 'row' }, h('span', { class: 'revision number' }, String(one.revision)),
      h('span', { class: 'badge' }, one.action), restores, h('span', { class: 'dim' }, 'by ', h('b', {}, one.author)),
      h('time', { class: 'dim number', datetime: one.at, title: `${one.at}, ${ago(one.at)}` }, when(one.at)));
    const reason = one.reason ? h('p', { class: 'reason' }, `“${one.reason}”`) : null;
    const forced = one.forced ? h('p', { class: 'warning' }, `Forced, although: ${one.forced}`) : null;
    return h('li', { class: 'card' },
      h('div', { class: 'stack' }, head, reason, forced, differences(one, this.#about.value.trim())), h('div', { class: 'row actions' }));
  }

  /**
   * @param {Element} entry
   * @param {any} one
   */
  #update(entry, one) {
    const place = entry.querySelector(':scope > .actions');
    if (!place) return;
    const about = this.#about.value.trim();
    const only = scopeOf(one, about);
    const mode = one.revision === this.#inForce ? 'in force' : canAct() ? `restore ${only ? about : ''}` : '';
    if (place.getAttribute('data-mode') === mode) return;
    place.setAttribute('data-mode', mode);
    if (mode === 'in force') replace(place, h('span', { class: 'badge good' }, 'in force'));
    else if (mode === '') replace(place);
    else {
      const all = `Restore revision ${one.revision}`;
      const title = `Restore ${about} as it was in revision ${one.revision}`;
      replace(place, h('button', { type: 'button', 'aria-label': all, onclick: () => void this.#rollback(all, one.revision) }, 'Restore'),
        only && h('button', {
          type: 'button',
          'aria-label': `Restore only ${about} of revision ${one.revision}`,
          onclick: () => void this.#rollback(title, one.revision, only),
        }, `Restore only ${about}`));
    }
  }
}

/**
 * What a rollback is restricted to that restores only `name`; none if the revision is not about it.
 *
 * @param {any} revision
 * @param {string} name
 */
function scopeOf(revision, name) {
  if (!name) return null;
  if ((revision.difference ?? []).some((/** @type {any} */ one) => one.service === name)) return { services: [name] };
  if ((revision.flags ?? []).some((/** @type {any} */ one) => one.flag === name)) return { flags: [name] };
  if ((revision.experiments ?? []).some((/** @type {any} */ one) => one.experiment === name)) return { experiments: [name] };
  return null;
}

/** What is searched of each revision, made when it is first asked for. @type {WeakMap<any, string>} */
const TEXTS = new WeakMap();

/** @param {any} revision */
function haystack(revision) {
  let text = TEXTS.get(revision);
  if (text === undefined) {
    const { revision: number, author, reason, action, forced } = revision;
    text = [number, author, reason ?? '', action, forced ?? '', inWords(revision)].join('\n').toLowerCase();
    TEXTS.set(revision, text);
  }
  return text;
}

customElements.define('pm-history', History);
