// @ts-check
/** Who are you? A page of its own and no dialog over one: without a token there is nothing behind it. */

import { Problem, call, token } from './api.js';
import { h } from './dom.js';

/**
 * @param {string} why what was wrong with the token before
 * @param {() => void} done there is a good one now
 */
export function login(why, done) {
  const field = h('input', { type: 'password', name: 'token', required: true, autocomplete: 'off', spellcheck: 'false' });
  const trouble = h('p', { class: 'problem', role: 'alert', hidden: !why }, why);
  const button = h('button', { class: 'primary' }, 'Log in');
  /** @param {SubmitEvent} event */
  const submit = async (event) => {
    event.preventDefault();
    const text = field.value.trim();
    button.disabled = true;
    try {
      await call('GET', 'v1/whoami', { token: text, quiet: true });
      token.set(text);
      done();
    } catch (error) {
      trouble.hidden = false;
      trouble.textContent = refused(error);
      field.select();
      field.focus();
    } finally {
      button.disabled = false;
    }
  };
  return h('form', { class: 'card login', onsubmit: submit }, h('h1', {}, 'Who are you?'),
    h('p', {}, 'This proxy wants a token: one of ', h('code', {}, '[admin.tokens]'), ' in its config file.'),
    h('label', { class: 'field' }, 'Token', field), trouble, button,
    h('p', { class: 'dim small' }, 'It is kept in this tab only, until you log out or close it.'));
}

/** @param {unknown} error */
function refused(error) {
  if (!(error instanceof Problem)) return 'This text cannot be a token.';
  return error.status === 401 ? 'This token is not one of them.' : error.message;
}
