// @ts-check
/** The repository that the config is in: which commit is in force, which is the newest, and why they are not the same. */

import { act } from '../action.js';
import { describe } from '../change.js';
import { command } from '../command.js';
import { h, keyed, replace, setText } from '../dom.js';
import { ago, when } from '../format.js';
import { canAct, live } from '../live.js';
import { to } from '../rooms.js';

/** How often the ages are written anew. */
const EVERY_MS = 10_000;

/** What a sync takes all the same. @typedef {{ rewritten?: boolean, rejected?: boolean }} Terms */

/** What each state means, and how its badge looks. @type {Record<string, { look: string, words: string }>} */
const STATES = {
  synced: { look: 'good', words: 'The newest commit is in force, with its weights.' },
  pending: { look: 'accent', words: 'A newer commit is known and not in force yet, or the repository was not asked since the start.' },
  overridden: { look: 'warn', words: 'The newest commit is in force, but a shift, a rollout or a rollback gives users other weights than it says.' },
  rejected: { look: 'warn', words: 'A commit’s weights were taken back by a rollback or a rollout. They come by no way but an operator who insists; the next commit counts.' },
  refused: { look: 'bad', words: 'The newest commit is not put in force. What was in force stays in force.' },
  unreachable: { look: 'bad', words: 'The repository cannot be asked. What was in force stays in force.' },
};

class Repository extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  /** What is known of the repository; none: the config is in no repository. @type {any} */
  #known = null;
  #timer = 0;
  #badge = h('span', { class: 'badge' });
  #buttons = h('div', { class: 'row end-of-row' });
  #words = h('p');
  #source = h('p', { class: 'dim' });
  #trouble = h('div', { role: 'status' });
  #commits = h('div', { class: 'columns' });
  #problems = h('ol', { class: 'problems' });
  #refused = h('section', { class: 'card', hidden: true }, h('h2', {}, 'Why it is refused'), this.#problems);
  #backs = h('ul', { class: 'plain' });
  #rejected = h('section', { class: 'card', hidden: true }, h('h2', {}, 'Taken back'), this.#backs);
  #others = h('ul', { class: 'plain' });
  #overridden = h('section', { class: 'card', hidden: true }, h('h2', {}, 'Other weights than the commit says'),
    h('p', { class: 'dim' }, 'They stay until a commit changes that split. To take them into the repository, commit the weights that are in force.'), this.#others);
  #later = h('section', { class: 'card', hidden: true }, h('h2', {}, 'Takes a restart'), h('p'));
  #none = h('p', { class: 'empty', hidden: true }, 'The config of this proxy is in no repository: see [gitops] in the local file, or “pointsman run --gitops URL”.');

  connectedCallback() {
    this.append(h('div', { class: 'row heading' }, h('h1', {}, 'Repository'), this.#badge, this.#buttons), this.#none, this.#words, this.#source, this.#trouble,
      h('div', { class: 'stack' }, this.#commits, this.#refused, this.#rejected, this.#overridden, this.#later));
    this.#timer = window.setInterval(() => document.hidden || this.#ages(), EVERY_MS);
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  /** @param {any} state */
  refresh(state) {
    this.#known = state.gitops ?? null;
    this.#show();
  }

  #show() {
    const known = this.#known;
    this.#none.hidden = known !== null;
    for (const part of [this.#badge, this.#words, this.#source, this.#commits]) part.hidden = known === null;
    if (!known) {
      replace(this.#buttons);
      for (const card of [this.#refused, this.#rejected, this.#overridden, this.#later]) card.hidden = true;
      return;
    }
    const { look = '', words = '' } = STATES[known.state] ?? {};
    this.#badge.className = `badge ${look}`;
    setText(this.#badge, known.state);
    setText(this.#words, words);
    replace(this.#trouble, known.unreachable && h('p', { class: 'problem' }, known.unreachable), known.waits && h('p', { class: 'warning' }, `It waits: ${known.waits}`),
      known.write_back?.problem && h('p', { class: 'problem' }, `What is in force could not be written to it: ${known.write_back.problem}`));
    keyed(this.#commits, [{ title: 'In force', commit: known.commit }, ...(known.newest ? [{ title: 'Newest', commit: known.newest }] : [])],
      ({ title }) => title, makeCommit, updateCommit);
    this.#list(this.#refused, this.#problems, known.problems);
    this.#list(this.#rejected, this.#backs, known.rejected?.map(takenBack));
    this.#list(this.#overridden, this.#others, known.overridden);
    const later = known.needs_restart ?? [];
    this.#later.hidden = later.length === 0;
    setText(/** @type {HTMLElement} */ (this.#later.querySelector('p')), later.join(', '));
    this.#orders(known);
    this.#ages();
  }

  /**
   * @param {HTMLElement} card
   * @param {HTMLElement} list
   * @param {string[] | undefined} texts
   */
  #list(card, list, texts = []) {
    card.hidden = texts.length === 0;
    keyed(list, texts, (text) => text, () => h('li'), (item, text) => item.hasChildNodes() || replace(item, linked(text)));
  }

  #ages() {
    const known = this.#known;
    if (!known) return;
    const asked = known.fetched_at ? `last answered ${ago(known.fetched_at)}` : 'not asked since the start';
    setText(this.#source, `${known.path} on ${known.branch} of ${known.repository}, ${asked}`);
    for (const age of this.#commits.querySelectorAll('time')) setText(age, ago(age.dateTime));
  }

  /** @param {any} known */
  #orders(known) {
    const rewritten = (known.problems ?? []).some((/** @type {string} */ text) => text.includes('sync --rewritten'));
    const rejected = Boolean(known.rejection);
    const shown = JSON.stringify([canAct(), rewritten, rejected]);
    if (this.#buttons.dataset.shown === shown) return;
    this.#buttons.dataset.shown = shown;
    replace(this.#buttons, canAct() && [
      h('button', { type: 'button', class: 'primary', onclick: () => void sync('Put the newest commit in force', {}) }, 'Sync'),
      rewritten && danger('Take the rewritten history', { rewritten }),
      rejected && danger('Insist on what was taken back', { rejected }),
    ]);
  }
}

/**
 * The button of a sync that needs a second thought.
 *
 * @param {string} words
 * @param {Terms} terms
 */
function danger(words, terms) {
  return h('button', { type: 'button', class: 'danger', onclick: () => void sync(words, terms) }, words);
}

/**
 * Takes the newest commit, after a look at what it would do.
 *
 * @param {string} title
 * @param {Terms} terms
 */
async function sync(title, terms) {
  await act({
    title,
    does: 'Sync',
    method: 'POST',
    path: 'v1/gitops/sync',
    body: () => terms,
    command: () => command('sync', terms),
    seen: whatItChanges,
    describe: whatItDoes,
    reasoned: false,
    danger: Object.keys(terms).length > 0,
  });
}

/**
 * What of the answer is a change: the commit may be a new one although it moves no user.
 *
 * @param {any} answer
 */
function whatItChanges({ commit, change }) {
  const { revision: _, ...rest } = change;
  const inForce = /** @type {any} */ (live.state)?.gitops?.commit.hash;
  return { ...rest, commit, changed: change.changed || commit.hash !== inForce };
}

/** @param {any} answer */
function whatItDoes(answer) {
  const { commit } = answer;
  const moves = answer.difference?.length > 0 ? describe(answer) : h('p', {}, 'It moves no users.');
  return h('div', {}, h('p', {}, h('code', {}, commit.hash.slice(0, 8)), ` ${commit.subject}`), h('p', { class: 'dim' }, `${commit.author}, ${ago(commit.at)}`), moves);
}

/** @param {any} rejected a commit whose weights were taken back */
function takenBack({ commit, of, author, reason, revision }) {
  return `${commit.slice(0, 8)} of ${of.join(', ')}, by ${author} in revision ${revision}: ${reason}`;
}

/** @param {{ title: string }} one */
function makeCommit({ title }) {
  return h('section', { class: 'card commit' }, h('h2', {}, title), h('p', { class: 'subject' }), h('p', { class: 'dim' }, h('code'), ' ', h('span'), ', ', h('time')));
}

/**
 * @param {HTMLElement} card
 * @param {{ commit: any }} one
 */
function updateCommit(card, { commit }) {
  const [subject, hash, author, age] = ['.subject', 'code', 'span', 'time'].map((css) => /** @type {HTMLElement} */ (card.querySelector(css)));
  if (!subject || !hash || !author || !(age instanceof HTMLTimeElement)) return;
  setText(subject, commit.subject);
  setText(hash, commit.hash.slice(0, 8));
  setText(author, commit.author);
  age.dateTime = commit.at;
  age.title = when(commit.at);
}

/**
 * The name of a service or flag, as a way to its room; any other text as it is.
 *
 * @param {string} text
 */
function linked(text) {
  const state = /** @type {any} */ (live.state);
  const flag = text.replace(/^flag /, '');
  if (flag !== text && state?.flags?.[flag]) return [h('a', { href: to('flag', flag) }, flag), ' (flag)'];
  return state?.services?.[text] ? h('a', { href: to('service', text) }, text) : text;
}

customElements.define('pm-repository', Repository);
