// @ts-check
/** One flag: what decides, what it gives to whom, the kill switch, and what a user would get. */

import { act } from '../action.js';
import { describe } from '../change.js';
import { command } from '../command.js';
import { h, keyed, replace, setText } from '../dom.js';
import { badgeKey, badges, followed, rolloutOf, runningOn, standardOf } from '../flag.js';
import { canAct } from '../live.js';
import { to } from '../rooms.js';
import { EvaluateForm } from './flag_evaluate.js';
import { RuleCard } from './flag_rule.js';

/** More of a value is shown on demand. */
const VALUE_SHOWN = 200;

class Flag extends HTMLElement {
  /** @type {Record<string, string>} */
  params = {};
  /** @type {any} */
  #flag = null;
  /** What each part shows, so that it is made anew only if that is another. @type {Record<string, string>} */
  #keys = {};
  #badges = h('span', { class: 'row' });
  #buttons = h('span', { class: 'row end-of-row' });
  #now = h('p', { class: 'now' });
  #movers = h('div', {});
  #rules = h('ol', { class: 'rules' });
  #follows = h('div', {});
  #default = h('p', { class: 'dim' });
  #variants = h('tbody', {});
  #facts = h('div', {});
  #missing = h('p', { class: 'empty', hidden: true });
  #body = h('div', { class: 'stack' });
  /** @type {EvaluateForm | null} */
  #evaluate = null;

  connectedCallback() {
    const name = this.params.flag ?? '';
    this.#evaluate = new EvaluateForm(name);
    const decides = card('What decides', this.#follows, this.#rules, this.#default);
    const variants = card('Variants', h('table', {}, heads('Variant', 'Value'), this.#variants));
    const side = h('div', { class: 'stack' }, this.#evaluate.element, variants, card('Users', this.#facts));
    this.#body.append(this.#now, this.#movers, h('div', { class: 'columns wide-first' }, decides, side));
    this.append(h('p', { class: 'crumbs' }, h('a', { href: to('flags') }, 'Flags')),
      h('div', { class: 'row heading' }, h('h1', {}, name), this.#badges, this.#buttons), this.#missing, this.#body);
  }

  disconnectedCallback() {
    this.#evaluate?.leave();
  }

  /** @param {any} state */
  refresh(state) {
    const name = this.params.flag ?? '';
    const flag = Object.hasOwn(state.flags ?? {}, name) ? state.flags[name] : null;
    this.#missing.hidden = flag !== null;
    this.#body.hidden = flag === null;
    this.#badges.hidden = this.#buttons.hidden = flag === null;
    if (!flag) {
      setText(this.#missing, `There is no flag ${name}: the config file has none of this name.`);
      return;
    }
    this.#flag = flag;
    this.#part('badges', badgeKey(flag, state), () => replace(this.#badges, badges(flag, state)));
    this.#part('switch', `${flag.enabled} ${canAct()}`, () => this.#switch());
    setText(this.#now, flag.enabled ? '' : `It is disabled: all users have ${standardOf(flag)}.`);
    this.#now.hidden = flag.enabled;
    const rollout = rolloutOf(name, state);
    const experiment = runningOn(name, state);
    this.#part('movers', `${rollout?.id} ${experiment?.name}`, () => this.#others(rollout, experiment));
    keyed(this.#rules, flag.rules ?? [], (rule) => rule.name, () => new RuleCard().element,
      (element, rule) => RuleCard.of(element)?.update(flag, rule));
    this.#rules.hidden = (flag.rules ?? []).length === 0;
    this.#part('follows', JSON.stringify([flag.follows, flag.default, flag.imported]), () => this.#following());
    this.#part('variants', JSON.stringify([flag.variants, flag.default]), () => this.#values());
    this.#part('facts', JSON.stringify([flag.salt, flag.services, flag.file_enabled, flag.enabled]), () => this.#users());
    this.#evaluate?.refresh(state.revision, flag.imported !== undefined);
  }

  /**
   * @param {string} name
   * @param {string} key
   * @param {() => void} show
   */
  #part(name, key, show) {
    if (this.#keys[name] === key) return;
    this.#keys[name] = key;
    show();
  }

  #switch() {
    const flag = this.#flag;
    const about = h('a', { class: 'button', href: `${to('history')}?about=${encodeURIComponent(flag.name)}` }, 'History');
    if (!canAct()) return replace(this.#buttons, about);
    const button = flag.enabled
      ? h('button', { type: 'button', class: 'danger', onclick: () => void this.#turn(false) }, 'Disable')
      : h('button', { type: 'button', class: 'primary', onclick: () => void this.#turn(true) }, 'Enable');
    replace(this.#buttons, about, button);
  }

  /** @param {boolean} enabled */
  async #turn(enabled) {
    const { name } = this.#flag;
    await act({
      title: enabled ? `Enable ${name}: its rules decide again` : `Disable ${name}: all users get ${standardOf(this.#flag)} at once`,
      does: enabled ? 'Enable' : 'Disable',
      danger: !enabled,
      method: 'PUT',
      path: `v1/flags/${encodeURIComponent(name)}`,
      body: (reason) => ({ enabled, ...(reason ? { reason } : {}) }),
      command: (reason) => command('flag', enabled ? 'enable' : 'disable', name, { reason }),
      describe,
    });
  }

  /**
   * Who else moves its users.
   *
   * @param {any} rollout
   * @param {any} experiment
   */
  #others(rollout, experiment) {
    replace(this.#movers,
      rollout && h('p', { class: 'card' }, 'It is being rolled out: ',
        h('a', { href: to('rollout', String(rollout.id)) }, `rollout ${rollout.id}, ${rollout.from} to ${rollout.to}`), '. A change by hand pauses the rollout.'),
      experiment && h('p', { class: 'card' }, 'Some of its users are in an experiment: ',
        h('a', { href: to('experiment', experiment.name) }, experiment.name), '. Rules with a condition come before it, the others after it.'));
  }

  #following() {
    const flag = this.#flag;
    const standard = standardOf(flag);
    replace(this.#follows);
    if (flag.follows) {
      const place = flag.follows.service ? to('service', flag.follows.service) : to('flag', flag.follows.flag);
      const rows = Object.entries(flag.follows.variants).map(([of, gets]) => h('tr', {}, h('td', {}, of), h('td', {}, String(gets))));
      replace(this.#follows, h('p', {}, 'It follows ', h('a', { href: place }, followed(flag)), ': it moves with it, in the same swap.'),
        h('table', {}, heads(flag.follows.service ? 'Version' : 'Variant', 'Gets'),
          h('tbody', {}, rows, h('tr', {}, h('td', { class: 'dim' }, 'all others'), h('td', {}, standard)))));
      return setText(this.#default, '');
    }
    if (flag.imported) {
      replace(this.#follows, h('p', {},
        `The rule of the imported file decides (fractional ${flag.imported}). What it says is changed in the file.`));
      return setText(this.#default, '');
    }
    setText(this.#default, `The first rule that holds decides; users whom none reaches have ${standard}, the default.`);
  }

  #values() {
    const flag = this.#flag;
    replace(this.#variants, flag.variants.map((/** @type {any} */ variant) => {
      const text = JSON.stringify(variant.value) ?? '';
      const value = text.length <= VALUE_SHOWN
        ? h('code', {}, text)
        : h('details', {}, h('summary', {}, h('code', {}, `${text.slice(0, VALUE_SHOWN)}…`)), h('code', {}, text));
      const note = variant.name === flag.default ? h('span', { class: 'dim' }, ' (default)') : null;
      return h('tr', {}, h('td', {}, variant.name, note), h('td', {}, value));
    }));
  }

  #users() {
    const { salt, services, file_enabled: file, enabled } = this.#flag;
    const drawnBy = typeof salt === 'string' && salt.startsWith('service:') ? salt.slice('service:'.length) : null;
    const link = (/** @type {string} */ name) => h('a', { href: to('service', name) }, name);
    const links = services.flatMap((/** @type {string} */ name, /** @type {number} */ index) => [index > 0 ? ', ' : null, link(name)]);
    replace(this.#facts,
      file !== enabled && h('p', { class: 'warning' }, `The config file has it ${file ? 'enabled' : 'disabled'}.`),
      drawnBy ? h('p', {}, 'Users are drawn as ', link(drawnBy), ' draws them: at the same per cent it is the same users.')
        : salt ? h('p', {}, 'Users are drawn with the salt ', h('code', {}, salt), '.') : null,
      services.length > 0
        ? h('p', {}, 'Told with each request to ', links, '.')
        : h('p', {}, 'No service lists it; programs can ask for it by OFREP.'));
  }
}

/**
 * @param {string} title
 * @param {...Node} children
 */
function card(title, ...children) {
  return h('section', { class: 'card', 'aria-label': title }, h('h2', {}, title), children);
}

/** @param {...string} names */
function heads(...names) {
  return h('thead', {}, h('tr', {}, names.map((name) => h('th', { scope: 'col' }, name))));
}

customElements.define('pm-flag', Flag);
