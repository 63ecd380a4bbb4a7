// @ts-check
/**
 * What the frame says, in every room, while faults are injected: which, and the button that ends them all.
 *
 * The button asks nothing: what it does is safe, and who presses it has no time. It works for what began a moment ago as
 * well, which the page does not know of yet.
 */

import { call } from './api.js';
import { underWay } from './chaos.js';
import { h, keyed, setAttribute, setText } from './dom.js';
import { canAct } from './live.js';
import { notice } from './notice.js';
import { to } from './rooms.js';

/** How many runs are named. */
const NAMED = 2;

export class ChaosAlarm {
  #runs = h('span', { class: 'faults' });
  #more = h('a', { href: to('chaos') });
  #stop = h('button', { type: 'button', class: 'danger', onclick: () => void stopAll(this.#stop) }, 'End all faults');
  element = h('div', { class: 'chaos-alarm', role: 'status', hidden: true }, this.#runs, this.#more, this.#stop);

  /** @param {any} state */
  refresh(state) {
    const runs = underWay(state);
    this.element.hidden = runs.length === 0;
    keyed(this.#runs, runs.slice(0, NAMED), (run) => String(run.id), () => h('a', {}), (link, run) => {
      setAttribute(link, 'href', to('chaos', String(run.id)));
      setAttribute(link, 'class', run.state === 'injecting' ? 'injecting' : 'baseline');
      setText(link, run.state === 'injecting' ? `Fault in ${run.service}: ${run.name}` : `${run.name}: ${run.state}`);
    });
    this.#more.hidden = runs.length <= NAMED;
    setText(this.#more, `and ${runs.length - NAMED} more`);
    this.#stop.hidden = !canAct();
  }
}

/**
 * Ends every run.
 *
 * @param {HTMLButtonElement} button
 */
async function stopAll(button) {
  button.disabled = true;
  try {
    const { stopped } = await call('POST', 'v1/chaos/stop', { body: {} });
    notice(stopped?.length > 0 ? `Ended: ${stopped.map((/** @type {number} */ id) => `run ${id}`).join(', ')}.` : 'Nothing was running any more.');
  } catch (error) {
    notice(`Not ended: ${error instanceof Error ? error.message : error}`);
  } finally {
    button.disabled = false;
  }
}
