// @ts-check
/** All rollouts: those that wait for a person, those under way, and the last that are over. */

import { call } from '../api.js';
import { h, keyed, setAttribute, setText } from '../dom.js';
import { ago, duration } from '../format.js';
import { canAct, live } from '../live.js';
import { to } from '../rooms.js';
import { drawWeights } from './rollout_track.js';
import { isOver, need, now, phase, strategy, title, tone } from './rollout_words.js';

/** The groups, in the order of how urgent they are. */
const GROUPS = [
  { key: 'waits', name: 'Waiting for a person', of: (/** @type {any} */ rollout) => !isOver(rollout) && Boolean(rollout.waits_for) },
  { key: 'going', name: 'Under way', of: (/** @type {any} */ rollout) => !isOver(rollout) && !rollout.waits_for },
  { key: 'over', name: 'Over', of: isOver },
];

/** Rollouts that are over and shown at first. */
const SHOWN = 30;

class RolloutsRoom extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #search = h('input', { type: 'search', name: 'rollout', autocomplete: 'off', spellcheck: 'false', oninput: () => this.#draw() });
  #which = h('select', { name: 'which', onchange: () => this.#draw() },
    [['', 'All'], ['waits', 'Waiting for a person'], ['going', 'Under way'], ['back', 'Turned back'], ['completed', 'Completed']].map(([value, text]) => h('option', { value }, text)));
  #filter = h('div', { class: 'row filter', role: 'search' }, h('label', { class: 'field' }, 'Service, flag, group or version', this.#search), h('label', { class: 'field' }, 'Which', this.#which));
  #start = h('a', { class: 'button', href: to('start') }, 'Start a rollout');
  #sections = GROUPS.map((group) => {
    const list = h('ul', { class: 'plain' });
    const heading = h('h2');
    return { group, list, heading, element: h('section', { class: 'stack', hidden: true, 'aria-label': group.name }, heading, list) };
  });
  #note = h('p', { class: 'dim', role: 'status' });
  #more = h('button', { type: 'button', hidden: true, onclick: () => this.#all() }, 'Show all');
  #shown = SHOWN;
  /** All that are known, by number. @type {Map<number, any>} */
  #known = new Map();
  #leaving = new AbortController();
  #read = '';
  #isRead = false;

  connectedCallback() {
    this.#leaving = new AbortController();
    this.append(h('div', { class: 'row title' }, h('h1', {}, 'Rollouts'), this.#start), this.#filter, h('div', { class: 'stack sections' }, this.#sections.map(({ element }) => element)), this.#note, this.#more);
  }

  disconnectedCallback() {
    this.#leaving.abort();
  }

  /** @param {any} state */
  refresh(state) {
    const shown = /** @type {any[]} */ (Object.values(state.rollouts ?? {}));
    for (const rollout of shown) this.#known.set(rollout.id, rollout);
    // One that has left the live state is over, and known as it was then: the list is read again.
    const wanted = shown.map(({ id, phase: at }) => `${id} ${at === 'finished'}`).join();
    if (wanted !== this.#read && live.connection === 'live') {
      this.#read = wanted;
      void this.#list();
    }
    this.#draw();
  }

  async #list() {
    try {
      const { rollouts } = await call('GET', 'v1/rollouts?brief=true', { signal: this.#leaving.signal });
      const now = live.state?.rollouts ?? {};
      this.#known = new Map(rollouts.map((/** @type {any} */ rollout) => [rollout.id, now[rollout.id] ?? rollout]));
      this.#isRead = true;
      this.#draw();
    } catch (error) {
      if (!this.#leaving.signal.aborted) setText(this.#note, `Those that are over could not be read: ${error instanceof Error ? error.message : error}`);
    }
  }

  #all() {
    this.#shown = Infinity;
    this.#draw();
  }

  #draw() {
    this.#start.hidden = !canAct();
    const text = this.#search.value.trim().toLowerCase();
    const which = this.#which.value;
    const all = [...this.#known.values()].sort((a, b) => b.id - a.id);
    const matching = all.filter((rollout) => (!text || words(rollout).includes(text)) && isWanted(rollout, which));
    this.#filter.hidden = all.length < 2;
    for (const { group, list, heading, element } of this.#sections) {
      const items = matching.filter(group.of);
      const shown = group.key === 'over' ? items.slice(0, this.#shown) : items;
      element.hidden = items.length === 0;
      setText(heading, `${group.name} (${items.length})`);
      keyed(list, shown, ({ id }) => String(id), make, update);
      if (group.key === 'over') this.#more.hidden = items.length <= this.#shown;
    }
    let note = '';
    if (all.length === 0 && this.#isRead) note = 'There has been no rollout yet. One is started from here, from a service, or with pointsman rollout start.';
    else if (matching.length === 0 && this.#isRead) note = 'No rollout is like that.';
    if (note || this.#isRead) setText(this.#note, note);
    this.#note.classList.toggle('empty', note !== '');
  }
}

/** @param {any} rollout */
function words(rollout) {
  const { group, flag, services, from, to: candidate, author, reason } = rollout;
  const flags = (rollout.flags ?? []).map((/** @type {any} */ one) => one.flag);
  return [group, flag, ...services, ...flags, from, candidate, author, reason, `${rollout.id}`].filter(Boolean).join(' ').toLowerCase();
}

/**
 * @param {any} rollout
 * @param {string} which
 */
function isWanted(rollout, which) {
  if (which === 'back') return rollout.phase === 'rolling_back' || (isOver(rollout) && rollout.ending !== 'completed');
  if (which === 'completed') return rollout.ending === 'completed';
  return !which || Boolean(GROUPS.find(({ key }) => key === which)?.of(rollout));
}

/** @param {any} rollout */
function make(rollout) {
  return h('li', { class: 'card rollout-row' },
    h('div', { class: 'row' }, h('a', { class: 'name', href: to('rollout', String(rollout.id)) }), h('span', { class: 'badge' }), h('span', { class: 'dim when' })),
    h('div', { class: 'split', role: 'img' }), h('p', { class: 'at' }), h('p', { class: 'dim said' }));
}

/**
 * @param {HTMLElement} row
 * @param {any} rollout
 */
function update(row, rollout) {
  const part = (/** @type {string} */ name) => /** @type {HTMLElement} */ (row.querySelector(name));
  setText(part('a'), title(rollout));
  setText(part('.badge'), phase(rollout));
  setAttribute(part('.badge'), 'class', `badge ${tone(rollout)}`);
  const over = isOver(rollout);
  const took = over && rollout.finished_at_ms ? `, took ${duration((rollout.finished_at_ms - rollout.started_at_ms) / 1_000)}` : '';
  setText(part('.when'), `${rollout.id} · ${strategy(rollout)} · by ${rollout.author}, ${started(rollout)}${took}`);
  part('.split').hidden = over;
  if (!over) drawWeights(part('.split'), rollout);
  setText(part('.at'), over ? endedShort(rollout) : `${need(rollout)} ${now(rollout)}`.trim());
  part('.at').classList.toggle('warning', Boolean(rollout.waits_for));
  setText(part('.said'), worst(rollout.evidence ?? [])?.sentence ?? '');
}

/** @param {any} rollout */
function endedShort({ ending, to: candidate, from }) {
  return ending === 'completed' ? `${candidate} got everything.` : `Everything went back to ${from}.`;
}

/** @param {any} rollout */
function started(rollout) {
  const seconds = (Date.now() - rollout.started_at_ms) / 1_000;
  // Without seconds where they say nothing, so that a row is drawn once a minute.
  return seconds < 60 ? 'a moment ago' : ago(rollout.started_at_ms - (seconds % 60) * -1_000);
}

/**
 * The service with the most against it.
 *
 * @param {any[]} evidence
 */
function worst(evidence) {
  const loud = (/** @type {any} */ found) => found.log10_e_highest ?? found.log10_e;
  return evidence.reduce((best, found) => (!best || loud(found) > loud(best) ? found : best), null);
}

customElements.define('pm-rollouts', RolloutsRoom);
