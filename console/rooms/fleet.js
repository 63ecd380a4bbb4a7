// @ts-check
/** The replicas that share the traffic: who leads, what is in force on each, and whether this one follows them. */

import { act } from '../action.js';
import { command } from '../command.js';
import { h, keyed, replace, setAttribute, setText } from '../dom.js';
import { ago, when } from '../format.js';
import { canAct } from '../live.js';

/** How often the ages are written anew. */
const EVERY_MS = 10_000;

/** What a refusal names that can be mended from here. */
const RESTORE = 'pointsman fleet restore';

const COLUMNS = ['Replica', 'Revision', 'Config', 'Version', 'Runs since', 'Admin API'];

class Fleet extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  /** What is known of the fleet; none: this proxy is in none. @type {any} */
  #known = null;
  #timer = 0;
  #badge = h('span', { class: 'badge' });
  #buttons = h('div', { class: 'row end-of-row' });
  #words = h('p');
  #source = h('p', { class: 'dim' });
  #trouble = h('div', { role: 'status' });
  #rows = h('tbody');
  #replicas = h('section', { class: 'card', hidden: true }, h('h2', {}, 'Live replicas'), h('div', { class: 'scroll', tabindex: '0', role: 'group', 'aria-label': 'Live replicas' },
    h('table', {}, h('thead', {}, h('tr', {}, COLUMNS.map((name) => h('th', { scope: 'col' }, name)))), this.#rows)));
  #lacks = h('ul', { class: 'plain' });
  #misfits = h('section', { class: 'card', hidden: true }, h('h2', {}, 'What a config lacks'),
    h('p', { class: 'dim' }, 'These replicas cannot give users what the fleet does. Give them the config of the others.'), this.#lacks);
  #none = h('p', { class: 'empty', hidden: true }, 'This proxy is in no fleet: see [fleet] in the config file.');

  connectedCallback() {
    this.append(h('div', { class: 'row heading' }, h('h1', {}, 'Fleet'), this.#badge, this.#buttons), this.#none, this.#words, this.#source, this.#trouble,
      h('div', { class: 'stack' }, this.#replicas, this.#misfits));
    this.#timer = window.setInterval(() => document.hidden || this.#ages(), EVERY_MS);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  /** @param {any} state */
  refresh(state) {
    const known = state.fleet ?? null;
    this.#known = known;
    this.#none.hidden = known !== null;
    for (const part of [this.#badge, this.#words, this.#source]) part.hidden = known === null;
    const replicas = /** @type {any[]} */ (known?.replicas ?? []);
    this.#replicas.hidden = replicas.length === 0;
    if (!known) {
      replace(this.#buttons);
      this.#misfits.hidden = true;
      return;
    }
    const together = known.state === 'together';
    this.#badge.className = `badge ${together ? 'good' : 'bad'}`;
    setText(this.#badge, known.state);
    setText(this.#words, words(known));
    if (this.#trouble.textContent !== (known.why ?? '')) replace(this.#trouble, known.why && h('p', { class: 'problem' }, known.why));
    keyed(this.#rows, replicas, ({ name }) => name, makeReplica, (row, replica) => updateReplica(row, replica, known));
    const misfits = replicas.flatMap(({ name, misfits: lacks = [] }) => lacks.map((/** @type {string} */ why) => `${name}: ${why}`));
    this.#misfits.hidden = misfits.length === 0;
    keyed(this.#lacks, misfits, (text) => text, (text) => h('li', {}, text));
    this.#orders(known);
    this.#ages();
  }

  #ages() {
    const known = this.#known;
    if (!known) return;
    const heard = known.state === 'together' ? '' : known.heard_at ? `, etcd last heard ${ago(known.heard_at)}` : ', etcd not heard since the start';
    setText(this.#source, `${known.prefix} in etcd, ${known.state} since ${ago(known.since).replace(/ ago$/, '')}${heard}`);
    this.#source.title = when(known.since);
    for (const age of this.#rows.querySelectorAll('time')) setText(age, ago(age.dateTime));
  }

  /** @param {any} known */
  #orders(known) {
    const restorable = canAct() && Boolean(known.why?.includes(RESTORE));
    const shown = `${restorable} ${known.name} ${known.revision}`;
    if (this.#buttons.dataset.shown === shown) return;
    this.#buttons.dataset.shown = shown;
    replace(this.#buttons, restorable && h('button', { type: 'button', class: 'danger', onclick: () => void restore(known) }, 'Put this replica’s state there'));
  }
}

/** @param {any} known */
function words({ state, name, leads, leader, replicas = [] }) {
  if (state !== 'together') return `This is ${name}. It serves what is in force, for as long as it takes, and refuses changes; it comes back by itself.`;
  const others = replicas.length - 1;
  const who = leads ? 'leads' : leader ? `follows; ${leader} leads` : 'follows; a leader is being elected';
  return `This is ${name}: it ${who}. A change here is in force on ${others === 0 ? 'this replica' : others === 1 ? 'both' : `all ${others + 1}`} before it is answered.`;
}

/**
 * Puts the state of this replica into etcd, where it was lost or is older.
 *
 * @param {any} known
 */
async function restore(known) {
  await act({
    title: `Put the state of ${known.name} into etcd`,
    does: 'Put it there',
    method: 'POST',
    path: 'v1/fleet/restore',
    body: () => ({}),
    command: () => command('fleet', 'restore'),
    dryRun: false,
    words: `All replicas will follow revision ${known.revision}, which is in force here. Do it on the replica that has the highest: what a replica has beyond that is lost.`,
    reasoned: false,
    danger: true,
  });
}

/** @param {{ name: string }} replica */
function makeReplica({ name }) {
  const marks = h('span', { class: 'marks' });
  return h('tr', {}, h('th', { scope: 'row' }, name, ' ', marks), h('td'), h('td'), h('td'), h('td', {}, h('time')), h('td', {}));
}

/**
 * @param {HTMLElement} row
 * @param {any} replica
 * @param {any} known
 */
function updateReplica(row, replica, known) {
  const { name, revision, config, version, started_at: since, address } = replica;
  const [, figure, print, program, age, place] = /** @type {HTMLElement[]} */ ([...row.children]);
  const time = row.querySelector('time');
  const marks = row.querySelector('.marks');
  if (!figure || !print || !program || !age || !place || !time || !marks) return;
  const own = [name === known.name && 'this one', name === known.leader && 'leads'].filter(Boolean).join(', ');
  setText(marks, own && `(${own})`);
  const behind = (known.lagging ?? []).includes(name);
  setAttribute(figure, 'class', behind ? 'warning' : null);
  setText(figure, behind ? `${revision}, ${known.revision - revision} behind` : revision);
  const differs = (known.differing ?? []).includes(name);
  setAttribute(print, 'class', differs ? 'warning' : null);
  setText(print, differs ? `${config}, not as here` : config);
  setText(program, version);
  time.dateTime = since;
  time.title = when(since);
  if (place.textContent !== (address ?? '–')) replace(place, page(address));
}

/**
 * The address of a replica's admin API as a way there; what is no such address is text.
 *
 * @param {string | undefined} address
 */
function page(address) {
  if (!address) return '–';
  const isPage = URL.canParse(address) && /^https?:$/.test(new URL(address).protocol);
  return isPage ? h('a', { href: address, rel: 'noreferrer' }, address) : address;
}

customElements.define('pm-fleet', Fleet);
