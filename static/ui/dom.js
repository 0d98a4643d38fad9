// @ts-check
/** Small helpers around the document. Text is always set as text, never as markup. */

/**
 * The element with an id; the page's own markup guarantees that it is there.
 * @template {HTMLElement} T
 * @param {string} id
 * @param {{new (): T}} kind
 * @returns {T}
 */
export function byId(id, kind) {
  const found = document.getElementById(id);
  if (!(found instanceof kind)) throw new Error(`#${id} is not a ${kind.name}`);
  return found;
}

/** @param {string} id */
export const element = (id) => byId(id, HTMLElement);
/** @param {string} id */
export const button = (id) => byId(id, HTMLButtonElement);
/** @param {string} id */
export const input = (id) => byId(id, HTMLInputElement);
/** @param {string} id */
export const textarea = (id) => byId(id, HTMLTextAreaElement);

/**
 * A new element with properties and children.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes] `text` sets the text, the rest are attributes
 * @param {(Node|string)[]} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === 'text') node.textContent = value;
    else node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/**
 * Set the text of an element, only where it differs: untouched nodes cost no layout.
 * @param {HTMLElement} node
 * @param {string} text
 */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** What places show. @type {WeakMap<HTMLElement, string>} */
const shownIn = new WeakMap();

/**
 * Fill a place anew, only where it is to show something else: what stands there keeps the focus and
 * the press that is under way.
 * @param {HTMLElement} place that nobody else fills
 * @param {unknown} what it shows, all that its nodes are made from
 * @param {() => (Node|string)[]} nodes
 */
export function refill(place, what, nodes) {
  const key = JSON.stringify(what);
  if (shownIn.get(place) === key) return;
  shownIn.set(place, key);
  place.replaceChildren(...nodes());
}

/**
 * Show a measured number: its text, and its plain value for scripts in data-value.
 * @param {HTMLElement} node
 * @param {number|null|undefined} value
 * @param {(value: number) => string} format
 */
export function setNumber(node, value, format) {
  const known = typeof value === 'number' && !Number.isNaN(value);
  setText(node, known ? format(value) : '–');
  if (known) node.dataset['value'] = String(value);
  else delete node.dataset['value'];
}

/**
 * Show a share of 1 on a progress bar; null moves without claiming a share.
 * @param {HTMLProgressElement} bar
 * @param {number|null} fraction
 */
export function setProgress(bar, fraction) {
  if (fraction === null) bar.removeAttribute('value');
  else bar.value = Math.min(1, Math.max(0, fraction));
}

/**
 * Call `action` once things have been quiet for a while.
 * @param {number} milliseconds
 * @param {() => void} action
 */
export function debounce(milliseconds, action) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, milliseconds);
  };
}

/**
 * Hand a file to the person.
 * @param {Blob} blob
 * @param {string} name
 */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  const anchor = make('a', { href: url, download: name });
  anchor.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
