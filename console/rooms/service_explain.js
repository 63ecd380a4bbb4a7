// @ts-check
/** Which version a request would get, and why: asked of the function that decides for real requests. */

import { problem } from '../action.js';
import { call } from '../api.js';
import { command } from '../command.js';
import { h, replace } from '../dom.js';
import { percent } from '../format.js';
import { to } from '../rooms.js';

/** @typedef {Record<string, string[]>} Headers */

export class ExplainCard {
  #method = h('input', { value: 'GET', size: 7, autocomplete: 'off', spellcheck: 'false' });
  #host = h('input', { autocomplete: 'off', spellcheck: 'false', required: true });
  #path = h('input', { value: '/', autocomplete: 'off', spellcheck: 'false' });
  #query = h('input', { autocomplete: 'off', spellcheck: 'false', placeholder: 'name=value&…' });
  #headers = h('textarea', { rows: 3, spellcheck: 'false', placeholder: 'name: value' });
  #cookies = h('textarea', { rows: 2, spellcheck: 'false', placeholder: 'name=value' });
  #client = h('input', { autocomplete: 'off', spellcheck: 'false', placeholder: '127.0.0.1' });
  #explained = h('div', { class: 'explained', 'aria-live': 'polite' });
  /** @type {AbortController | null} */
  #asking = null;
  #service = '';

  constructor() {
    const field = (/** @type {string} */ name, /** @type {HTMLElement} */ input) =>
      h('label', { class: `field ${name.toLowerCase()}` }, name, input);
    const form = h('form', { class: 'asked', onsubmit: (/** @type {Event} */ event) => void this.#ask(event) },
      field('Method', this.#method), field('Host', this.#host), field('Path', this.#path), field('Query', this.#query),
      field('Headers', this.#headers), field('Cookies', this.#cookies), field('Client address', this.#client),
      h('div', { class: 'buttons' }, h('button', { class: 'primary' }, 'Explain')));
    this.element = h('section', { class: 'card stack', 'aria-label': 'Explain' }, h('h2', {}, 'Why does a request get its version?'),
      h('p', { class: 'dim' }, 'Nothing is sent to an endpoint; the function that decides for real requests answers.'), form, this.#explained);
  }

  /** @param {any} service */
  refresh(service) {
    if (this.#service === service.name) return;
    this.#service = service.name;
    const host = (service.hosts ?? [])[0] ?? 'example.com';
    this.#host.value = host.replace(/^\*\./, 'www.');
    this.#path.value = (service.paths ?? [])[0] ?? '/';
  }

  leave() {
    this.#asking?.abort();
  }

  /** What was asked, as the call has it. */
  #asked() {
    const query = this.#query.value.trim().replace(/^\?/, '');
    const path = this.#path.value.trim() || '/';
    const headers = headersOf(this.#headers.value);
    const cookies = lines(this.#cookies.value).flatMap((line) => line.split(';')).map((cookie) => cookie.trim()).filter(Boolean);
    if (cookies.length > 0) (headers.cookie ??= []).push(cookies.join('; '));
    const client = this.#client.value.trim();
    return {
      method: this.#method.value.trim() || 'GET',
      host: this.#host.value.trim(),
      path: query ? `${path}${path.includes('?') ? '&' : '?'}${query}` : path,
      ...(Object.keys(headers).length > 0 && { headers }),
      ...(client && { client }),
    };
  }

  /** @param {Event} event */
  async #ask(event) {
    event.preventDefault();
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    const asked = this.#asked();
    try {
      const told = await call('POST', 'v1/explain', { body: bodyOf(asked), signal: asking.signal });
      replace(this.#explained, explanation(told, this.#service), commandOf(asked));
    } catch (error) {
      if (!asking.signal.aborted) replace(this.#explained, problem(error));
    }
  }
}

/** @param {string} text */
function lines(text) {
  return text.split('\n').map((line) => line.trim()).filter(Boolean);
}

/**
 * `name: value`, a line each. What is no header the API refuses, in its words.
 *
 * @param {string} text
 * @returns {Headers}
 */
function headersOf(text) {
  /** @type {Headers} */
  const headers = Object.create(null);
  for (const line of lines(text)) {
    const colon = line.indexOf(':');
    const [name, value] = colon < 0 ? [line, ''] : [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
    (headers[name.toLowerCase()] ??= []).push(value);
  }
  return headers;
}

/** @typedef {{ method: string, host: string, path: string, headers?: Headers, client?: string }} Asked */

/**
 * A header with one value is that value, so that what is wrong with it is told by its name alone.
 *
 * @param {Asked} asked
 */
function bodyOf({ headers = {}, ...rest }) {
  const values = Object.entries(headers).map(([name, all]) => [name, all.length === 1 ? all[0] : all]);
  return { ...rest, headers: Object.fromEntries(values) };
}

/** @param {Asked} asked */
function commandOf({ method, host, path, headers = {}, client }) {
  const lines = Object.entries(headers).flatMap(([name, values]) => values.map((value) => ({ header: `${name}: ${value}` })));
  const text = command('explain', `http://${host}${path}`, { method: method === 'GET' ? '' : method }, ...lines, { client: client ?? '' });
  return h('div', { class: 'command' }, h('code', {}, text));
}

/**
 * @param {any} told
 * @param {string} here the service of the page
 */
function explanation(told, here) {
  const chances = Object.entries(told.chances ?? {});
  const drawn = chances.map(([version, chance]) => `${version} ${percent(/** @type {number} */ (chance))}`).join(', ');
  const first = told.refused ? 'refused' : told.version ?? drawn;
  const other = told.service && told.service !== here;
  /** @type {[string, unknown][]} */
  const facts = [
    ['Rule', told.rule],
    ['Experiment', told.experiment && `${told.experiment}, ${told.arm}`],
    ['Key from', told.key_from],
    ['Slot', told.slot],
    ['Salt', told.salt],
    ['Assigned', told.assigned !== told.version ? told.assigned : null],
    ['Refused', told.refused],
    ['Token', told.token],
    ['Attributes', pairs(told.attributes)],
    ['Segments', pairs(told.segments)],
  ];
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== '');
  const flags = Object.entries(told.flags ?? {}).map(([name, flag]) => /** @type {const} */ ([name, /** @type {any} */ (flag)]));
  return h('div', { class: 'stack' },
    h('p', { class: `answer ${told.refused ? 'problem' : ''}` }, first),
    h('p', {}, `${told.why.charAt(0).toUpperCase()}${told.why.slice(1)}.`),
    other ? elsewhere(told.service) : null,
    known.length === 0 ? null : h('dl', { class: 'facts' }, known.flatMap(([name, value]) => [h('dt', {}, name), h('dd', {}, String(value))])),
    flags.length === 0 ? null : h('dl', { class: 'facts' }, flags.flatMap(([name, flag]) => [
      h('dt', {}, 'Flag ', h('a', { href: to('flag', name) }, name)),
      h('dd', {}, `${flag.variant ?? pairs(flag.chances, ' %') ?? '–'}: ${flag.why}`)])));
}

/** @param {string} service */
function elsewhere(service) {
  const link = h('a', { href: to('service', service) }, service);
  return h('p', { class: 'warning' }, 'This host and path belong to ', link, ', not to this service.');
}

/**
 * @param {Record<string, unknown> | undefined} values
 * @param {string} [unit]
 */
function pairs(values, unit = '') {
  const all = Object.entries(values ?? {});
  return all.length === 0 ? null : all.map(([name, value]) => `${name} ${value}${unit}`).join(', ');
}
