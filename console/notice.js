// @ts-check
/** A short line about what has just happened. It goes away by itself, and is never the only place where that stands. */

import { h, setText } from './dom.js';

const SHOWN_MS = 8_000;

const line = h('div', { class: 'notice', role: 'status' });
let timer = 0;

/** @param {string} text */
export function notice(text) {
  if (!line.isConnected) document.body.append(line);
  clearTimeout(timer);
  setText(line, text);
  timer = setTimeout(() => setText(line, ''), SHOWN_MS);
}

/** The line has to be in the page before it says something, or no reader of the screen hears it. */
export function prepareNotices() {
  document.body.append(line);
}
