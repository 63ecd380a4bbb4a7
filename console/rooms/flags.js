// @ts-check
/** All flags: what each gives to whom, and which are not as the config file says. */

import { bar } from '../change.js';
import { h, keyed, replace, setText } from '../dom.js';
import { badgeKey, badges, summary, weightsOf } from '../flag.js';
import { to } from '../rooms.js';

/** At most as many are shown at once: an imported file may have thousands. */
const SHOWN = 200;

class Flags extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  /** @type {any} */
  #state = null;
  #shown = SHOWN;
  #search = h('input', { type: 'search', name: 'flag', autocomplete: 'off', spellcheck: 'false', oninput: () => this.#show() });
  #only = h('input', { type: 'checkbox', name: 'differing', onchange: () => this.#show() });
  #filter = h('div', { class: 'row filter', role: 'search' },
    h('label', { class: 'field' }, 'Flag or service', this.#search),
    h('label', { class: 'row check' }, this.#only, 'Only what is disabled or differs from the config file'));
  #list = h('ul', { class: 'plain' });
  #note = h('p', { class: 'dim', role: 'status' });
  #more = h('button', { type: 'button', hidden: true, onclick: () => this.#further() }, 'Show more');

  connectedCallback() {
    this.append(h('h1', {}, 'Flags'), this.#filter, this.#list, this.#note, this.#more);
  }

  /** @param {any} state */
  refresh(state) {
    this.#state = state;
    this.#show();
  }

  #further() {
    this.#shown += SHOWN;
    this.#show();
  }

  #show() {
    const flags = /** @type {any[]} */ (Object.values(this.#state?.flags ?? {}));
    const text = this.#search.value.trim().toLowerCase();
    const matching = flags.filter((flag) => {
      if (this.#only.checked && flag.enabled && !flag.differs_from_file) return false;
      return !text || [flag.name, ...flag.services].some((name) => name.toLowerCase().includes(text));
    });
    keyed(this.#list, matching.slice(0, this.#shown), (flag) => flag.name, make, (row, flag) => update(row, flag, this.#state));
    this.#filter.hidden = flags.length < 2;
    this.#more.hidden = matching.length <= this.#shown;
    let note = '';
    if (flags.length === 0) note = 'There are no flags: the config file has none.';
    else if (matching.length === 0) note = 'No flag is like that.';
    else if (matching.length > this.#shown) note = `${this.#shown} of ${matching.length} flags.`;
    setText(this.#note, note);
    this.#note.classList.toggle('empty', matching.length === 0);
  }
}

/** @param {any} flag */
function make(flag) {
  return h('li', { class: 'card flag' }, h('a', { class: 'name', href: to('flag', flag.name) }, flag.name),
    h('span', { class: 'bars' }), h('span', { class: 'served number' }), h('span', { class: 'row badges' }), h('span', { class: 'dim told' }));
}

/**
 * @param {HTMLElement} row
 * @param {any} flag
 * @param {any} state
 */
function update(row, flag, state) {
  const [, barPlace, served, badgePlace, services] = row.children;
  if (!badgePlace || !barPlace || !served || !services) return;
  const key = badgeKey(flag, state);
  if (row.dataset.badges !== key) {
    row.dataset.badges = key;
    replace(badgePlace, badges(flag, state));
  }
  const text = summary(flag);
  if (served.textContent !== text) {
    setText(served, text);
    const last = flag.enabled ? flag.rules?.at(-1) : null;
    replace(barPlace, last ? bar(weightsOf(last.serve, flag.default).map(({ share }) => share)) : null);
  }
  setText(services, flag.services.length > 0 ? `told to ${flag.services.join(', ')}` : 'told to no service');
}

customElements.define('pm-flags', Flags);
