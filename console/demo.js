// @ts-check
/** Whether this proxy is the demo, which has a game. */

import { Problem, call } from './api.js';
import { live } from './live.js';

/** What it offers; `undefined` until it was asked, `null` where there is none. @type {any} */
let offer;

/**
 * Whether the game is here. Only a proxy that has a service of the game's name is asked, and once: everywhere else the
 * call would be a mistake in its log.
 *
 * @param {any} state
 */
export function isDemo(state) {
  if (offer === undefined && state?.services?.game) {
    offer = null;
    void ask();
  }
  return Boolean(offer);
}

async function ask() {
  try {
    offer = (await call('GET', 'v1/demo')).game ?? null;
    if (offer) live.dispatchEvent(new Event('change'));
  } catch (error) {
    // Another proxy answers 404, and that is that; without an answer it is asked again.
    if (error instanceof Problem && error.status === 0) offer = undefined;
  }
}
