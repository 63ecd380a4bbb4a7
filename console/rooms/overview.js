// @ts-check
/** All services, a row each, to be read from afar: what is wrong first. */

import { h, keyed, replace, setAttribute, setText } from '../dom.js';
import { allFacts, refusals, troubles } from '../facts.js';
import { count, duration, rate, share } from '../format.js';
import { live } from '../live.js';
import { Row } from './overview_row.js';

/** @typedef {import('../facts.js').Facts} Facts */

/** Rows of a page: a thousand rows that change twice a second are too much for a browser. */
const ROWS = 60;

/** Of a file with a thousand mistakes these are enough to begin with. */
const DETAILS = 6;

/** A list that is sorted by figures is sorted anew after so long, or its rows could not be pointed at. */
const SORT_MS = 5_000;

/** @type {Record<string, { name: string, fits: (facts: Facts) => boolean }>} */
const SHOWN = {
  all: { name: 'All', fits: () => true },
  trouble: { name: 'Trouble', fits: ({ bad }) => bad.length > 0 },
  waits: { name: 'Waiting', fits: ({ waits }) => waits !== null },
  moving: { name: 'Moving', fits: ({ moving, back, service }) => moving !== null || (back !== null && service.rollout !== undefined) },
};

/** @type {Record<string, { name: string, by: (one: Facts, other: Facts) => number, figures: boolean }>} */
const ORDERS = {
  urgent: { name: 'what needs you first', by: (one, other) => one.rank - other.rank, figures: false },
  name: { name: 'name', by: () => 0, figures: false },
  requests: { name: 'requests', by: (one, other) => other.requests - one.requests, figures: true },
  errors: { name: 'errors', by: (one, other) => other.errors - one.errors, figures: true },
  p99: { name: 'p99', by: (one, other) => (other.p99 ?? -1) - (one.p99 ?? -1), figures: true },
};

const NAMES = new Intl.Collator('en', { numeric: true });

class Overview extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #asked = new URLSearchParams(location.hash.split('?')[1] ?? '');
  #headline = h('p', { class: 'headline' });
  #figures = h('dl', { class: 'totals number' });
  #troubles = h('div', { class: 'troubles stack' });
  #search = h('input', { type: 'search', placeholder: 'Search services', 'aria-label': 'Search services', autocomplete: 'off', spellcheck: 'false' });
  #sort = h('select', {}, Object.entries(ORDERS).map(([key, { name }]) => h('option', { value: key }, name)));
  #filters = new Map(Object.keys(SHOWN).map((key) => [key, h('button', { type: 'button', 'aria-pressed': 'false' })]));
  #columns = h('div', { class: 'head-line dim small', 'aria-hidden': 'true' }, h('span', {}, 'Service'), h('span', {}, 'Split'),
    h('span', { class: 'line' }, h('span'), h('span', {}, 'Version'), h('span', { class: 'weight' }, 'Weight'), h('span', {}, 'Requests'), h('span', {}, 'Errors'), h('span', {}, 'p99')));
  #list = h('ul', { class: 'services' });
  #none = h('p', { class: 'empty', hidden: true });
  #range = h('span', { class: 'dim' });
  #back = h('button', { type: 'button', onclick: () => this.#turn(-1) }, 'Previous');
  #next = h('button', { type: 'button', onclick: () => this.#turn(1) }, 'Next');
  #pages = h('div', { class: 'row pages', hidden: true }, this.#back, this.#range, this.#next);
  /** @type {Map<string, Row>} */
  #rows = new Map();
  /** @type {WeakMap<Element, Row>} */
  #rowOf = new WeakMap();
  /** Names of the services that are listed, in order. @type {string[]} */
  #order = [];
  #page = 0;
  #sortedAt = 0;
  #sortedFor = '';
  #told = '';

  #seen = new IntersectionObserver((entries) => this.#look(entries), { rootMargin: '200px' });
  /** @param {KeyboardEvent} event */
  #slash = (event) => {
    if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey) return;
    if (/** @type {Element} */ (event.target).closest('input, select, textarea, dialog')) return;
    event.preventDefault();
    this.#search.focus();
  };

  connectedCallback() {
    this.#search.value = this.#asked.get('find') ?? '';
    const order = this.#asked.get('by') ?? 'urgent';
    this.#sort.value = Object.hasOwn(ORDERS, order) ? order : 'urgent';
    this.#page = Math.max(0, Math.trunc(Number(this.#asked.get('page') ?? 1) - 1)) || 0;
    for (const [key, button] of this.#filters) button.addEventListener('click', () => this.#ask('show', key));
    this.#search.addEventListener('input', () => this.#ask('find', this.#search.value));
    this.#sort.addEventListener('change', () => this.#ask('by', this.#sort.value));
    const tools = h('div', { class: 'row tools' }, this.#search, h('div', { class: 'row choices', role: 'group', 'aria-label': 'Show' }, [...this.#filters.values()]),
      h('label', { class: 'row by dim' }, 'Order', this.#sort));
    this.append(h('div', { class: 'row top' }, h('div', {}, h('h1', {}, 'Services'), this.#headline), this.#figures),
      this.#troubles, tools, h('div', { class: 'card list' }, this.#columns, this.#list, this.#none), this.#pages);
    document.addEventListener('keydown', this.#slash);
  }

  disconnectedCallback() {
    this.#seen.disconnect();
    document.removeEventListener('keydown', this.#slash);
  }

  /** @param {any} state */
  refresh(state) {
    const all = allFacts(state, live.edition);
    this.#summary(state, all);
    this.#proxy(state);
    this.#arrange(all);
    this.#show();
  }

  /**
   * Keeps what is asked for in the address, so that it is there again on the way back.
   *
   * @param {string} key
   * @param {string} value
   */
  #ask(key, value) {
    const standard = { show: 'all', by: 'urgent', find: '' }[key];
    if (value === standard) this.#asked.delete(key);
    else this.#asked.set(key, value);
    this.#page = 0;
    this.#asked.delete('page');
    this.#remember();
  }

  #remember() {
    const query = this.#asked.toString();
    history.replaceState(history.state, '', `#/${query ? `?${query}` : ''}`);
    if (live.state) this.refresh(live.state);
  }

  /** @param {number} by */
  #turn(by) {
    this.#page += by;
    if (this.#page > 0) this.#asked.set('page', String(this.#page + 1));
    else this.#asked.delete('page');
    this.#remember();
    this.#list.querySelector('a')?.focus({ preventScroll: true });
    scrollTo(0, 0);
  }

  /**
   * @param {any} state
   * @param {Facts[]} all
   */
  #summary(state, all) {
    const [trouble = 0, waits = 0, moving = 0] = ['trouble', 'waits', 'moving'].map((key) => all.filter((facts) => SHOWN[key]?.fits(facts)).length);
    setText(this.#headline, all.length === 0 ? '' : headline(all.length, trouble, waits, moving));
    setAttribute(this.#headline, 'class', `headline ${trouble ? 'problem' : waits ? 'warning' : ''}`);
    for (const [key, button] of this.#filters) {
      setText(button, `${SHOWN[key]?.name} ${count({ all: all.length, trouble, waits, moving }[key] ?? 0)}`);
      setAttribute(button, 'aria-pressed', String((this.#asked.get('show') ?? 'all') === key));
    }
    const requests = all.reduce((sum, facts) => sum + facts.requests, 0);
    const errors = all.reduce((sum, facts) => sum + facts.requests * facts.errors, 0);
    totals(this.#figures, [
      ['requests', rate(requests)],
      ['errors', requests > 0 ? share(errors / requests) : '–'],
      ['connections', count(state.connections)],
      ['revision', String(state.revision)],
      ['running for', duration((Date.now() - Date.parse(state.started_at)) / 1_000)],
    ]);
  }

  /** What is wrong with the proxy as a whole. @param {any} state */
  #proxy(state) {
    const found = troubles(state);
    const turned = refusals.recent(state);
    const sum = turned.reduce((all, [, more]) => all + more, 0);
    const key = JSON.stringify([found, turned]);
    if (key === this.#told) return;
    this.#told = key;
    replace(this.#troubles, found.map(({ what, details, bad }) => {
      const lines = details.filter(Boolean);
      const shown = lines.slice(0, DETAILS).map((detail) => h('li', {}, detail));
      if (lines.length > DETAILS) shown.push(h('li', {}, `and ${count(lines.length - DETAILS)} more`));
      return h('section', { class: `card trouble ${bad ? 'wrong' : ''}` }, h('h2', {}, what), shown.length > 0 ? h('ul', {}, shown) : null);
    }), sum > 0
      ? h('p', { class: 'dim' }, `Answered by the proxy itself within the last minute: ${count(sum)} requests (`,
        turned.map(([reason, more], index) => [index > 0 ? ', ' : '', h('code', {}, reason), ` ${count(more)}`]).flat(), ').')
      : null);
  }

  /** Which services are listed, and in which order. @param {Facts[]} all */
  #arrange(all) {
    const { fits } = SHOWN[this.#asked.get('show') ?? 'all'] ?? { fits: () => true };
    const words = (this.#asked.get('find') ?? '').toLowerCase().split(/\s+/).filter(Boolean);
    const listed = all.filter((facts) => fits(facts) && (words.length === 0 || found(facts.service, words)));
    this.#facts = new Map(listed.map((facts) => [facts.service.name, facts]));
    const order = /** @type {typeof ORDERS[string]} */ (ORDERS[this.#sort.value] ?? ORDERS.urgent);
    const asked = this.#asked.toString();
    const touched = this.#list.matches(':hover') || this.#list.contains(document.activeElement);
    const keeps = order.figures && asked === this.#sortedFor && (touched || Date.now() - this.#sortedAt < SORT_MS);
    if (keeps) {
      const known = new Set(this.#order);
      this.#order = [...this.#order.filter((name) => this.#facts.has(name)), ...[...this.#facts.keys()].filter((name) => !known.has(name))];
    } else {
      listed.sort((one, other) => order.by(one, other) || NAMES.compare(one.service.name, other.service.name));
      this.#order = listed.map((facts) => facts.service.name);
      this.#sortedAt = Date.now();
      this.#sortedFor = asked;
    }
    const nothing = listed.length === 0;
    this.#none.hidden = !nothing;
    this.#columns.hidden = nothing;
    if (nothing) setText(this.#none, all.length === 0 ? 'The config file has no services yet.' : 'No service is like that.');
  }

  /** What is known of each service that is listed. @type {Map<string, Facts>} */
  #facts = new Map();

  /** Brings the rows that can be seen up to date; the others are when they come into view. */
  #show() {
    const pages = Math.max(1, Math.ceil(this.#order.length / ROWS));
    this.#page = Math.min(this.#page, pages - 1);
    const from = this.#page * ROWS;
    const names = this.#order.slice(from, from + ROWS);
    keyed(this.#list, names, (name) => name, (name) => this.#make(name));
    for (const [name, row] of this.#rows) {
      const facts = this.#facts.get(name);
      if (!facts || !row.element.isConnected) this.#forget(name, row);
      else if (row.visible) row.update(facts);
    }
    if (this.#pages.hidden !== (pages === 1)) this.#pages.hidden = pages === 1;
    setText(this.#range, `${count(from + 1)} to ${count(from + names.length)} of ${count(this.#order.length)}`);
    this.#back.disabled = this.#page === 0;
    this.#next.disabled = this.#page === pages - 1;
  }

  /** @param {string} name */
  #make(name) {
    const facts = /** @type {Facts} */ (this.#facts.get(name));
    const row = new Row(facts);
    row.update(facts);
    this.#rows.set(name, row);
    this.#rowOf.set(row.element, row);
    this.#seen.observe(row.element);
    return row.element;
  }

  /**
   * @param {string} name
   * @param {Row} row
   */
  #forget(name, row) {
    this.#rows.delete(name);
    this.#seen.unobserve(row.element);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #look(entries) {
    for (const entry of entries) {
      const row = this.#rowOf.get(entry.target);
      if (!row) continue;
      row.visible = entry.isIntersecting;
      const facts = this.#facts.get(/** @type {HTMLElement} */ (row.element).dataset.key ?? '');
      if (row.visible && facts) row.update(facts);
    }
  }
}

/**
 * @param {number} all
 * @param {number} trouble
 * @param {number} waits
 * @param {number} moving
 */
function headline(all, trouble, waits, moving) {
  const parts = [
    trouble ? `${count(trouble)} of ${count(all)} ${trouble === 1 ? 'is' : 'are'} in trouble` : '',
    waits ? `${count(waits)} ${waits === 1 ? 'waits' : 'wait'} for a person` : '',
    moving ? `${count(moving)} ${moving === 1 ? 'is' : 'are'} moving` : '',
  ].filter(Boolean);
  if (!trouble) parts.unshift(all === 1 ? 'The only one is well' : `All ${count(all)} are well`);
  return `${parts.join(', ')}.`;
}

/**
 * @param {any} service
 * @param {string[]} words all of which have to be somewhere in it
 */
function found(service, words) {
  const text = [service.name, ...service.hosts, ...Object.keys(service.versions)].join(' ').toLowerCase();
  return words.every((word) => text.includes(word));
}

/**
 * @param {HTMLElement} list
 * @param {[string, string][]} figures
 */
function totals(list, figures) {
  keyed(list, figures, ([name]) => name, ([name]) => h('div', {}, h('dt', { class: 'dim small' }, name), h('dd')), (element, [, value]) => {
    if (element.lastChild) setText(element.lastChild, value);
  });
}

customElements.define('pm-overview', Overview);
