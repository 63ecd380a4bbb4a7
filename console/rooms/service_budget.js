// @ts-check
/** The error budget of a service in a line: what is left of it, and how fast it goes. */

import { h, setAttribute, setText } from '../dom.js';
import { budgetInWords } from '../facts.js';

/** At this rate a budget of 30 days is gone in two: the first alert fires. */
const FAST = 14.4;

export class BudgetLine {
  #left = h('strong', {});
  #burn = h('span', { class: 'dim number' });
  #bar = h('meter', { min: '0', max: '100', low: '20', high: '50', optimum: '100', 'aria-label': 'Error budget left, in per cent' });
  element = h('section', { class: 'card budget', 'aria-label': 'Error budget' }, h('div', { class: 'row' }, this.#left, this.#bar, this.#burn));

  /** @param {any} service */
  refresh(service) {
    const { budget } = service;
    this.element.hidden = !budget;
    if (!budget) return;
    const words = budgetInWords(budget);
    setText(this.#left, words.charAt(0).toUpperCase() + words.slice(1));
    setAttribute(this.#left, 'class', budget.left_percent < 0 ? 'problem' : budget.left_percent < 20 ? 'warning' : null);
    setAttribute(this.#bar, 'value', String(Math.min(100, Math.max(0, budget.left_percent))));
    const rates = ['5m', '1h', '6h', '3d'].map((window) => `${rate(budget.burn[window])} over ${window}`);
    setText(this.#burn, `burns at ${rates.join(', ')}`);
    setAttribute(this.#burn, 'class', budget.burn['5m'] >= FAST && budget.burn['1h'] >= FAST ? 'number problem' : 'dim number');
  }
}

/** @param {number} burn */
function rate(burn) {
  return burn >= 10 ? String(Math.round(burn)) : String(Math.round(burn * 10) / 10);
}
