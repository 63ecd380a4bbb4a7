// @ts-check
/** What an operator can say to a rollout, with what each order does. */

import { act } from '../action.js';
import { command } from '../command.js';
import { h, keyed, setText } from '../dom.js';
import { percent } from '../format.js';
import { canAct } from '../live.js';
import { isOver, need, stageName, subject } from './rollout_words.js';

/**
 * @typedef {object} Order
 * @property {string} word
 * @property {string} name
 * @property {string} does what comes of it, a sentence without its end
 * @property {string} kind of its button
 */

export class Orders {
  #need = h('p', { class: 'need' });
  #command = h('code');
  #waits = h('div', { class: 'waits', role: 'status' }, this.#need, h('p', { class: 'dim' }, 'The same in a terminal: ', this.#command));
  #list = h('ul', { class: 'plain orders' });
  element = h('section', { class: 'card stack', 'aria-label': 'Orders' }, this.#waits, this.#list);
  /** @type {any} */
  #rollout = null;

  /** @param {any} rollout */
  refresh(rollout) {
    this.#rollout = rollout;
    this.#waits.hidden = !rollout.waits_for && !rollout.paused_because;
    setText(this.#need, need(rollout) || (rollout.paused_because ? `It does not go on: ${rollout.paused_because}.` : ''));
    const words = orders(rollout);
    const waited = words.find(({ word }) => word === WAITED[rollout.waits_for]);
    setText(this.#command, waited ? order(rollout, waited.word, '') : rollout.command ?? '');
    const shown = canAct() ? words : [];
    this.#list.hidden = shown.length === 0;
    this.element.hidden = this.#list.hidden && this.#waits.hidden;
    keyed(this.#list, shown, ({ word }) => word, ({ word }) => h('li', {}, h('button', { type: 'button', onclick: () => void this.#give(word) }), h('span', { class: 'dim' })), (item, { name, does, kind }) => {
      const [button, text] = item.children;
      if (button) {
        setText(button, name);
        button.className = kind;
      }
      if (text) setText(text, `${does}.`);
    });
  }

  /** @param {string} word */
  async #give(word) {
    const rollout = this.#rollout;
    const found = orders(rollout).find((one) => one.word === word);
    if (!found) return;
    await act({
      title: `${found.name} rollout ${rollout.id} of ${subject(rollout)}: ${found.does[0]?.toLowerCase()}${found.does.slice(1)}`,
      does: found.name,
      method: 'POST',
      path: `v1/rollouts/${rollout.id}/${word}`,
      body: (reason) => (reason ? { reason } : {}),
      command: (reason) => order(rollout, word, reason),
      danger: word === 'abort',
      dryRun: false,
    });
  }
}

/** @type {Record<string, string>} */
const WAITED = { approval: 'promote', acknowledgement: 'acknowledge', resume: 'resume', repair: 'resume' };

/**
 * @param {any} rollout
 * @param {string} word
 * @param {string} reason
 */
function order(rollout, word, reason) {
  return command('rollout', word, String(rollout.id), { reason });
}

/**
 * The orders that make sense now.
 *
 * @param {any} rollout
 * @returns {Order[]}
 */
function orders(rollout) {
  if (isOver(rollout)) return [];
  const { from, to, waits_for: waits, phase } = rollout;
  const acknowledge = { word: 'acknowledge', name: 'Acknowledge', does: `Says that the ${rollout.task ?? 'task'} by hand is done; it is verified, and goes on`, kind: 'primary' };
  const resume = { word: 'resume', name: 'Resume', does: phase === 'rolling_back' ? 'Tries the step back again that failed' : 'Goes on: the stage begins again, judged anew', kind: 'primary' };
  if (phase === 'rolling_back') return waits === 'acknowledgement' ? [acknowledge] : waits === 'repair' ? [resume] : [];
  const abort = { word: 'abort', name: 'Abort', does: `Gives everything back to ${from}`, kind: 'danger' };
  const promote = { word: 'promote', name: 'Promote', does: promotes(rollout), kind: waits === 'approval' ? 'primary' : '' };
  if (phase === 'paused') return [resume, promote, abort];
  const pause = { word: 'pause', name: 'Pause', does: `Stays at ${percent(rollout.weight)} on ${to}; the judge still turns it back`, kind: '' };
  if (waits === 'acknowledgement') return [acknowledge, pause, abort];
  return waits === 'approval' ? [promote, pause, abort] : [pause, promote, abort];
}

/** @param {any} rollout */
function promotes(rollout) {
  const next = rollout.stages?.[(rollout.stage ?? -1) + 1];
  const on = next ? `Goes on to the next stage, ${stageName(next, rollout)}` : `Ends it: ${rollout.to} keeps everything`;
  return rollout.waits_for === 'approval' ? on : `${on}, without waiting for the rest of this one`;
}
