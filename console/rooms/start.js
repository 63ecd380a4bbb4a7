// @ts-check
/** Starts a rollout: of what, to what, by which plan; beside the button stands what it will come to. */

import { act } from '../action.js';
import { h, keyed, replace, setAttribute, setText } from '../dom.js';
import { canAct } from '../live.js';
import { to } from '../rooms.js';
import { Forecast, outlook } from './start_forecast.js';
import { bodyOf, choices, commandOf, planOf } from './start_words.js';

/** @typedef {import('./start_words.js').Draft} Draft */

/** Time without a key before it is asked what the form comes to. */
const QUIET_MS = 700;

/** @type {[string, string][]} */
const KINDS = [['service', 'Service'], ['group', 'Group'], ['flag', 'Flag']];

class StartRoom extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  #kinds = KINDS.map(([value, text]) => h('label', { class: 'row check' }, h('input', { type: 'radio', name: 'kind', value, onchange: () => this.#kind(value) }), text));
  #name = h('select', { name: 'name', onchange: () => this.#named() });
  #group = h('input', { type: 'text', name: 'group', autocomplete: 'off', spellcheck: 'false', oninput: () => this.#soon() });
  #nameLabel = h('span');
  #nameField = h('label', { class: 'field' }, this.#nameLabel, this.#name);
  #groupField = h('label', { class: 'field' }, 'Group', this.#group);
  #to = h('select', { name: 'to', onchange: () => this.#soon() });
  #toField = h('label', { class: 'field' }, 'To', this.#to);
  #groupTo = h('input', { type: 'text', name: 'to-version', autocomplete: 'off', spellcheck: 'false', placeholder: 'the only other one', oninput: () => this.#soon() });
  #groupToField = h('label', { class: 'field' }, 'To', this.#groupTo);
  #strategy = h('select', { name: 'strategy', onchange: () => this.#soon() },
    [['', 'as the config says'], ['canary', 'canary: step by step'], ['blue_green', 'blue/green: all at once, watched'], ['rolling', 'rolling: endpoint by endpoint']].map(([value, text]) => h('option', { value }, text)));
  #steps = h('input', { type: 'text', name: 'steps', autocomplete: 'off', inputmode: 'decimal', placeholder: 'as the config says', 'aria-describedby': 'steps-help', oninput: () => this.#soon() });
  #bake = h('input', { type: 'text', name: 'bake', autocomplete: 'off', placeholder: 'as the config says', 'aria-describedby': 'bake-help', oninput: () => this.#soon() });
  #gate = h('input', { type: 'checkbox', name: 'gate', onchange: () => this.#soon() });
  #more = h('textarea', { name: 'more', rows: 3, spellcheck: 'false', placeholder: 'judge.alpha = 0.01', 'aria-describedby': 'more-help', oninput: () => this.#soon() });
  #trouble = h('p', { class: 'problem', role: 'alert', hidden: true });
  #button = h('button', { type: 'submit', class: 'primary' }, 'Start');
  #forecast = new Forecast();
  #form = h('form', { class: 'card', onsubmit: (/** @type {Event} */ event) => this.#submit(event) },
    h('fieldset', {}, h('legend', {}, 'What'), h('div', { class: 'row' }, this.#kinds)),
    this.#nameField, this.#groupField, this.#toField, this.#groupToField,
    h('label', { class: 'field' }, 'Strategy', this.#strategy),
    h('label', { class: 'field' }, 'Steps', this.#steps), help('steps-help', 'Per cent, such as 1, 10, 50, 100.'),
    h('label', { class: 'row check' }, this.#gate, 'Each step but the first waits for an approval'),
    h('label', { class: 'field' }, 'Bake', this.#bake), help('bake-help', 'How long each step is watched at the least, such as 10m.'),
    h('details', {}, h('summary', {}, 'Other keys of the plan'), h('label', { class: 'field' }, 'Keys', this.#more),
      help('more-help', 'A key = value a line, as in [services.NAME.rollout]. What is run or asked comes from the config file only.')),
    this.#trouble, h('div', { class: 'buttons' }, this.#button));
  #readOnly = h('p', { class: 'empty', hidden: true }, 'With a token that may only look, no rollout is started. ', h('a', { href: to('rollouts') }, 'All rollouts'));
  #columns = h('div', { class: 'columns' }, this.#form, this.#forecast.element);
  /** @type {any} */
  #state = null;
  #chosen = 'service';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** What can be chosen, so that it is made anew only when it changes. */
  #offered = '';

  connectedCallback() {
    replace(this, h('h1', {}, 'Start a rollout'), this.#readOnly, this.#columns);
    const asked = new URLSearchParams(location.hash.split('?')[1] ?? '');
    const found = KINDS.find(([kind]) => asked.get(kind));
    this.#chosen = found?.[0] ?? 'service';
    this.#wanted = { name: found ? asked.get(found[0]) ?? '' : '', to: asked.get('to') ?? '' };
    if (this.#chosen === 'group') {
      this.#group.value = this.#wanted.name;
      this.#groupTo.value = this.#wanted.to;
    }
    for (const label of this.#kinds) {
      const radio = label.querySelector('input');
      if (radio) radio.checked = radio.value === this.#chosen;
    }
  }

  #wanted = { name: '', to: '' };

  disconnectedCallback() {
    clearTimeout(this.#timer);
    this.#forecast.leave();
  }

  /** @param {any} state */
  refresh(state) {
    this.#state = state;
    this.#readOnly.hidden = canAct();
    this.#columns.hidden = !canAct();
    if (canAct()) this.#offer();
  }

  /** @param {string} kind */
  #kind(kind) {
    this.#chosen = kind;
    this.#wanted = { name: '', to: '' };
    this.#offer();
  }

  /** Offers what there is. */
  #offer() {
    const group = this.#chosen === 'group';
    const flag = this.#chosen === 'flag';
    const flags = Object.keys(this.#state?.flags ?? {});
    const flagLabel = this.#kinds[2];
    if (flagLabel) flagLabel.hidden = flags.length === 0;
    this.#nameField.hidden = group;
    this.#toField.hidden = group;
    this.#groupField.hidden = !group;
    this.#groupToField.hidden = !group;
    setText(this.#nameLabel, flag ? 'Flag' : 'Service');
    const names = Object.keys((flag ? this.#state?.flags : this.#state?.services) ?? {}).sort();
    const offered = JSON.stringify([this.#chosen, names, names.map((name) => choices(this.#state, this.#chosen, name))]);
    if (offered === this.#offered) return;
    this.#offered = offered;
    const name = this.#wanted.name || this.#name.value;
    keyed(this.#name, names, (one) => one, (one) => h('option', { value: one }, one));
    this.#name.value = names.includes(name) ? name : names[0] ?? '';
    this.#wanted.name = '';
    this.#named();
  }

  /** Offers what it may become. */
  #named() {
    const all = choices(this.#state, this.#chosen, this.#name.value);
    const chosen = this.#wanted.to || this.#to.value;
    replace(this.#to, all.map(({ name, text }) => h('option', { value: name }, text)));
    this.#to.value = all.find(({ name }) => name === chosen)?.name ?? all.find(({ likely }) => likely)?.name ?? all[0]?.name ?? '';
    this.#wanted.to = '';
    this.#soon();
  }

  /** @returns {Draft} */
  #draft() {
    const group = this.#chosen === 'group';
    const lines = this.#more.value.split('\n').map((line) => line.trim()).filter(Boolean);
    return {
      kind: this.#chosen,
      name: group ? this.#group.value.trim() : this.#name.value,
      to: group ? this.#groupTo.value.trim() : this.#to.value,
      strategy: this.#strategy.value,
      steps: this.#steps.value.trim(),
      bake: this.#bake.value.trim(),
      gate: this.#gate.checked,
      more: lines,
    };
  }

  /** What is written in the form, if it can be read. @returns {{ draft: Draft, plan: Record<string, unknown> } | null} */
  #written() {
    const draft = this.#draft();
    const { plan, trouble } = planOf(draft);
    this.#trouble.hidden = !trouble;
    setText(this.#trouble, trouble);
    setAttribute(this.#steps, 'aria-invalid', trouble.startsWith('Steps') ? 'true' : null);
    this.#button.disabled = trouble !== '' || draft.name === '';
    return trouble || !draft.name ? null : { draft, plan };
  }

  #soon() {
    clearTimeout(this.#timer);
    const written = this.#written();
    this.#forecast.wait();
    if (!written) return this.#forecast.leave();
    this.#timer = setTimeout(() => void this.#forecast.ask(bodyOf(written.draft, written.plan, ''), written.draft), QUIET_MS);
  }

  /** @param {Event} event */
  async #submit(event) {
    event.preventDefault();
    const written = this.#written();
    if (!written) return;
    const { draft, plan } = written;
    const answer = await act({
      title: `Start a rollout of ${draft.kind === 'service' ? '' : `${draft.kind} `}${draft.name}${draft.to ? ` to ${draft.to}` : ''}`,
      does: 'Start',
      method: 'POST',
      path: 'v1/rollouts',
      body: (reason) => bodyOf(draft, plan, reason),
      command: (reason) => commandOf(draft, reason),
      describe: outlook,
    });
    if (answer?.rollout?.id) location.hash = to('rollout', String(answer.rollout.id));
  }
}

/**
 * @param {string} id
 * @param {string} text
 */
function help(id, text) {
  return h('p', { class: 'help', id }, text);
}

customElements.define('pm-start', StartRoom);
