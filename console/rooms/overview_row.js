// @ts-check
/** A service in the list of all: to be read from afar, and the way to its page. */

import { h, keyed, setAttribute, setText } from '../dom.js';
import { tones } from '../facts.js';
import { milliseconds, percent, rate, share } from '../format.js';
import { to } from '../rooms.js';
import { splitBar } from '../split_bar.js';

/** @typedef {import('../facts.js').Facts} Facts */

/** The word for each rank; that a service is well need not be said. */
const MARKS = [
  { text: 'In trouble', class: 'badge bad' },
  { text: 'Waits for you', class: 'badge warn' },
  { text: 'Turned back', class: 'badge bad' },
  { text: 'Moving', class: 'badge accent' },
  { text: '', class: '' },
];

export class Row {
  #link = h('a', { class: 'name' });
  #mark = h('span', { class: 'badge' });
  #hosts = h('span', { class: 'hosts dim small' });
  #words = h('div', { class: 'words small' });
  #versions = h('div', { class: 'versions number' });
  #bar;

  /** @param {Facts} facts */
  constructor({ service }) {
    this.#bar = splitBar(service);
    this.#link.href = to('service', service.name);
    this.#link.textContent = service.name;
    const head = h('div', { class: 'head' }, h('div', { class: 'title' }, this.#link, this.#mark), this.#hosts);
    this.element = h('li', {}, head, this.#bar.element, this.#versions, this.#words);
    /** Whether it can be seen, so that it has to be true. */
    this.visible = true;
  }

  /** @param {Facts} facts */
  update(facts) {
    const { service, rank } = facts;
    setAttribute(this.element, 'data-rank', rank);
    const mark = MARKS[rank];
    this.#mark.hidden = !mark?.text;
    setText(this.#mark, mark?.text ?? '');
    setAttribute(this.#mark, 'class', mark?.class ?? '');
    const hosts = service.hosts.length > 0 ? service.hosts.join(', ') : 'any host';
    setText(this.#hosts, hosts === service.name ? '' : hosts);
    this.#bar.update(service);
    this.#figures(service);
    this.#told(facts);
  }

  /** @param {any} service */
  #figures(service) {
    const tone = tones(service);
    keyed(this.#versions, /** @type {any[]} */ (Object.values(service.versions)), (version) => version.name, line, (element, version) => {
      const [swatch, name, weight, requests, errors, p99] = /** @type {HTMLElement[]} */ ([...element.children]);
      if (!swatch || !name || !weight || !requests || !errors || !p99) return;
      const { recent } = version;
      setAttribute(swatch, 'class', `swatch tone-${tone.get(version.name)}`);
      setText(name, version.name);
      setAttribute(name, 'title', version.name.length > 8 ? version.name : null);
      setText(weight, percent(version.weight));
      setText(requests, rate(recent.requests_per_second));
      setText(/** @type {Node} */ (errors.lastChild), recent.requests > 0 ? share(recent.error_ratio) : '–');
      setAttribute(errors, 'class', recent.errors > 0 && recent.error_ratio >= 0.01 ? 'problem' : null);
      setText(/** @type {Node} */ (p99.lastChild), milliseconds(recent.p99_ms));
      setAttribute(element, 'class', version.weight > 0 || recent.requests > 0 ? 'line' : 'line idle');
    });
  }

  /** @param {Facts} facts */
  #told(facts) {
    /** @type {[string, string][]} */
    const lines = [
      ...facts.bad.map((text) => /** @type {[string, string]} */ ([text, 'problem'])),
      ...[[facts.waits, 'warning'], [facts.back, 'problem'], [facts.moving, 'moving']]
        .filter(([text]) => text).map(([text, what]) => /** @type {[string, string]} */ ([text, what])),
      ...facts.notes.map((text) => /** @type {[string, string]} */ ([text, 'dim'])),
    ];
    const shown = lines.map(([text, what], index) => ({ text, what, key: String(index) }));
    keyed(this.#words, shown, ({ key }) => key, () => h('p'), (element, { text, what }) => {
      setText(element, text);
      setAttribute(element, 'class', what);
    });
    if (this.#words.hidden !== (lines.length === 0)) this.#words.hidden = lines.length === 0;
  }
}

/** A version's line. What its figures are stands above the list on a wide screen, and beside them on a narrow one. */
function line() {
  const figure = (/** @type {string} */ what) => h('span', {}, h('span', { class: 'what' }, `${what} `), document.createTextNode(''));
  return h('div', { class: 'line' }, h('span', { class: 'swatch' }), h('span', { class: 'version' }), h('span', { class: 'weight' }),
    h('span'), figure('errors'), figure('p99'));
}
