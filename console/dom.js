// @ts-check
/**
 * Making and changing elements. Text is only ever set as text, never as markup: what comes from users, upstreams or
 * reasons cannot become an element.
 *
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {Record<string, unknown>} Properties
 */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * An element. `on…` of a property's name adds a listener, `class` and everything else is an attribute; `true` is an
 * attribute without a value, and `false`, `null` and `undefined` leave it out. `value`, `checked` and `disabled` are
 * set as properties.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  assign(element, properties);
  append(element, children);
  return element;
}

/**
 * The same for a picture in SVG.
 *
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Properties} [properties]
 * @param {...(Child | Child[])} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function s(tag, properties = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  assign(element, properties);
  append(element, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Properties} properties
 */
export function assign(element, properties) {
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on') && typeof value === 'function') {
      element.addEventListener(name.slice(2).toLowerCase(), /** @type {EventListener} */ (value));
    } else if (name === 'value' || name === 'checked' || name === 'disabled') {
      /** @type {Record<string, unknown>} */ (/** @type {unknown} */ (element))[name] = value;
    } else {
      setAttribute(element, name, value);
    }
  }
}

/**
 * Sets, or takes away, an attribute, if it is not so already.
 *
 * @param {Element} element
 * @param {string} name
 * @param {unknown} value
 */
export function setAttribute(element, name, value) {
  if (value === false || value === null || value === undefined) {
    if (element.hasAttribute(name)) element.removeAttribute(name);
    return;
  }
  const text = value === true ? '' : String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * @param {Element} parent
 * @param {(Child | Child[])[]} children
 */
function append(parent, children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    parent.append(child instanceof Node ? child : String(child));
  }
}

/**
 * Puts `children` in place of all there are.
 *
 * @param {Element} parent
 * @param {...(Child | Child[])} children
 */
export function replace(parent, ...children) {
  parent.replaceChildren();
  append(parent, children);
}

/**
 * @param {Node} node
 * @param {string | number} text
 */
export function setText(node, text) {
  const wanted = String(text);
  if (node.textContent !== wanted) node.textContent = wanted;
}

/**
 * Makes the children of `parent` those of `items`: the element of a key stays the same one, and is told what is new.
 *
 * @template Item
 * @template {Element} Node
 * @param {Element} parent
 * @param {Iterable<Item>} items
 * @param {(item: Item) => string} key
 * @param {(item: Item) => Node} make
 * @param {(element: Node, item: Item) => void} [update]
 */
export function keyed(parent, items, key, make, update) {
  /** @type {Map<string, Element>} */
  const old = new Map();
  for (const child of parent.children) old.set(/** @type {HTMLElement} */ (child).dataset.key ?? '', child);
  let place = parent.firstElementChild;
  for (const item of items) {
    const name = key(item);
    let element = /** @type {Node | undefined} */ (old.get(name));
    if (element) {
      old.delete(name);
    } else {
      element = make(item);
      /** @type {HTMLElement} */ (/** @type {unknown} */ (element)).dataset.key = name;
    }
    update?.(element, item);
    if (element === place) place = place.nextElementSibling;
    else parent.insertBefore(element, place);
  }
  for (const gone of old.values()) gone.remove();
}
