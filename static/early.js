// @ts-check
/**
 * The page's first seconds: what is pressed, chosen or dropped before its parts are there is noted,
 * and done when they are. Where a host without headers makes the page load once more, what was
 * pressed and typed until then goes along, and is stored no longer than that takes.
 */

const KEY = 'lora-lab before the reload';
const PRESSED = 'button, input[type=checkbox], input[type=radio]';
const TYPED = 'textarea, input[type=url], input[type=text]';

/** @typedef {{typed: string[], presses: number[], focus: number, selection: [number, number]}} Before places are those in the document */

/** In the order of the presses. @type {Set<HTMLElement>} */
const presses = new Set();
/** Files and options chosen. @type {Set<HTMLElement>} */
const choices = new Set();
/** @type {File[]} */
let dropped = [];
const listening = new AbortController();

/** @param {string} selector @returns {HTMLElement[]} */
const all = (selector) => [...document.querySelectorAll(selector)].filter((node) => node instanceof HTMLElement);

const fields = () => all(TYPED).filter((node) => node instanceof HTMLInputElement || node instanceof HTMLTextAreaElement);

/** @param {Event} event */
function notePress(event) {
  const node = event.target instanceof Element ? event.target.closest(PRESSED) : null;
  if (!(node instanceof HTMLElement)) return;
  event.preventDefault();
  presses.add(node);
  node.dataset['early'] = '';
}

/** @param {Event} event */
function noteChoice({ target }) {
  if (target instanceof HTMLSelectElement && target.id !== 'language') choices.add(target);
  if (target instanceof HTMLInputElement && target.type === 'file') choices.add(target);
}

/** @param {DragEvent} event */
function noteDrop(event) {
  event.preventDefault(); // the browser would go to the file
  if (event.type === 'drop') dropped = [...(event.dataTransfer?.files ?? [])];
}

/** Put back what was typed and pressed before the page was loaded once more. */
function takeBefore() {
  let text = null;
  try {
    text = sessionStorage.getItem(KEY);
    sessionStorage.removeItem(KEY);
  } catch {
    // Nothing can be stored: then nothing was.
  }
  if (text === null) return;
  /** @type {Before} */
  const before = JSON.parse(text);
  const places = fields();
  places.forEach((field, index) => {
    field.value ||= before.typed[index] ?? '';
  });
  const pressable = all(PRESSED);
  for (const index of before.presses) if (pressable[index]) presses.add(pressable[index]);
  const focused = places[before.focus];
  focused?.focus();
  focused?.setSelectionRange?.(...before.selection);
}

/**
 * Let what was typed and pressed survive the next load of the page.
 * @returns {boolean} whether it does: files do not, and a text may be too long
 */
export function keepForReload() {
  if (!store()) return false;
  // A host may be slow: what is typed until the page is really gone counts as well.
  addEventListener('pagehide', store, { once: true });
  return true;
}

/** @returns {boolean} whether it lies where the next load finds it */
function store() {
  const chosen = [...choices].some((node) => node instanceof HTMLInputElement && node.files?.length);
  if (dropped.length || chosen) return false;
  const [places, pressable] = [fields(), all(PRESSED)];
  const focus = places.findIndex((field) => field === document.activeElement);
  /** @type {Before} */
  const before = {
    typed: places.map((field) => field.value), presses: [...presses].map((node) => pressable.indexOf(node)),
    focus, selection: [places[focus]?.selectionStart ?? 0, places[focus]?.selectionEnd ?? 0],
  };
  try {
    if (before.presses.length || focus >= 0 || before.typed.some(Boolean)) sessionStorage.setItem(KEY, JSON.stringify(before));
    return true;
  } catch {
    return false;
  }
}

/**
 * The page's parts are there: do what was noted, and note no more.
 * @param {(files: File[]) => void} drop
 */
export function takeOver(drop) {
  listening.abort();
  for (const node of choices) node.dispatchEvent(new Event('change', { bubbles: true }));
  for (const node of presses) {
    delete node.dataset['early'];
    node.click();
  }
  if (dropped.length) drop(dropped);
}

const listen = { capture: true, signal: listening.signal };
document.addEventListener('click', notePress, listen);
document.addEventListener('change', noteChoice, listen);
document.addEventListener('submit', (event) => event.preventDefault(), listen);
for (const kind of /** @type {const} */ (['dragover', 'drop'])) document.addEventListener(kind, noteDrop, listen);
takeBefore();
