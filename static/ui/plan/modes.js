// @ts-check
/** The upper half of the plan dialog: each way to train, what it takes, what to beware of. */

import { mark } from '../../messages/mark.js';
import { currentLanguage, t } from '../../messages/messages.js';
import { state } from '../../store.js';
import { make, refill } from '../dom.js';
import { formatAbout, formatBytes, formatCount, formatFixed, formatRoughRange } from '../format.js';

/** @import {Advice, ModePlan, Plan, Setting} from '../../types.js' */

/** @type {Record<string, string>} */
const PART_NAMES = {
  weights: mark('Model weights'), adapter: mark('Adapter'), gradients: mark('Gradients'), optimizer: mark('Optimizer and gradients'),
  activations: mark('Activations'), scratch: mark('Working space'), evaluation: mark('Evaluation and samples'),
};

const MODE_NAMES = { adapter: mark('Adapter'), full: mark('Full') };
const MODE_WORDS = {
  adapter: mark('A small addition learns; the model itself stays as it is. The result is a file of a few megabytes.'),
  full: mark('Every weight of the model learns. The result is a whole new model; the loaded one stays beside it as it is.'),
};

/** @param {string} name */
function partName(name) {
  const label = t(PART_NAMES[name] ?? name.replaceAll('_', ' '));
  return label.charAt(0).toUpperCase() + label.slice(1);
}

/** @param {Record<string, number>} bytes by part, and `total` */
function memory(bytes) {
  const parts = Object.entries(bytes).filter(([name]) => name !== 'total');
  const bar = make('div', { class: 'memory-bar', 'aria-hidden': 'true' });
  for (const [name, size] of parts) {
    const piece = make('span', { 'data-part': name });
    piece.style.flexGrow = String(size);
    bar.append(piece);
  }
  const rows = parts.map(([name, size]) => make('tr', {},
    make('th', { scope: 'row' }, make('span', { class: 'swatch', 'data-part': name, 'aria-hidden': 'true' }), partName(name)),
    make('td', { text: formatBytes(size), title: t('{number} bytes', { number: size }) })));
  return [bar, make('table', { class: 'memory-parts' }, make('caption', { class: 'sr', text: t('GPU memory by part') }), ...rows)];
}

/** @param {string} text */
const capital = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}`;
/** @param {string} text without its full stop */
export const sentence = (text) => (text ? `${capital(text)}.` : '');

/** @param {ModePlan} plan */
function verdict(plan) {
  if (!plan.bytes) return make('span', { class: 'verdict', text: t('Not available') });
  if (!plan.feasible) return make('span', { class: 'verdict bad', text: t('Does not fit') });
  return make('span', { class: 'verdict good', text: plan.selected ? t('Fits') : t('Fits too') });
}

/**
 * @param {ModePlan} plan
 * @param {(mode: string) => void} onMode
 */
function card(plan, onMode) {
  const id = `mode-${plan.mode}`;
  const radio = make('input', { type: 'radio', name: 'mode', id, value: plan.mode });
  radio.checked = plan.selected;
  radio.disabled = !plan.bytes;
  radio.addEventListener('change', () => onMode(plan.mode));
  const head = make('header', { class: 'mode-head' }, make('label', { for: id }, radio, t(MODE_NAMES[plan.mode])), verdict(plan));
  const node = make('section', { class: 'mode', 'data-mode': plan.mode, 'aria-label': t(MODE_NAMES[plan.mode]) }, head,
    make('p', { class: 'mode-words', text: t(MODE_WORDS[plan.mode]) }));
  node.toggleAttribute('data-selected', plan.selected);
  if (!plan.bytes || plan.seconds === null) {
    node.append(make('p', { class: 'mode-reason', text: t(plan.reason) }));
    return node;
  }
  node.append(
    make('dl', { class: 'mode-figures' },
      make('div', {}, make('dt', { text: t('Time') }), make('dd', { text: formatAbout(plan.seconds) }),
        make('dd', { class: 'range', text: formatRoughRange(plan.seconds_low ?? 0, plan.seconds_high ?? 0) })),
      make('div', {}, make('dt', { text: t('GPU memory') }), make('dd', { text: formatBytes(plan.bytes['total'] ?? 0) }),
        make('dd', { class: 'range', text: t('to the byte') })),
      make('div', { class: 'reading' }, make('dt', { text: t('Text') }), make('dd', { text: capital(t(plan.coverage)) }))),
    ...memory(plan.bytes));
  if (plan.confirm) node.append(make('p', { class: 'mode-reason', text: t('This device is slower than advised for it: you are asked before it begins.') }));
  if (plan.selected) return node;
  if (plan.reason) node.append(make('p', { class: 'mode-reason', text: sentence(t(plan.reason)) }));
  return node;
}

/**
 * The modes side by side.
 * @param {HTMLElement} place
 * @param {Plan|null} plan
 * @param {string} problem why there is none
 * @param {Setting|undefined} wanted the mode that the person chose: a plan that was asked for before does not undo it
 * @param {(mode: string) => void} onMode
 */
export function renderModes(place, plan, problem, wanted, onMode) {
  if (!plan) {
    const waiting = !state.hasCorpus ? '' : state.model ? t('The run is being laid out…') : t('The model has to load first.');
    const why = t(problem) || waiting || t('Add some text, and each way to train is laid out here: its time, and its GPU memory to the byte.');
    refill(place, why, () => [make('p', { class: 'hint', text: why })]);
    return;
  }
  const focused = place.contains(document.activeElement) ? document.activeElement?.id : '';
  refill(place, [currentLanguage(), plan.modes], () => plan.modes.map((mode) => card(mode, onMode)));
  const chosen = wanted ?? plan.modes.find((mode) => mode.selected)?.mode;
  for (const radio of place.querySelectorAll('input')) radio.checked = radio.value === chosen;
  if (focused) document.getElementById(focused)?.focus();
}

/**
 * Warnings with their remedies, what was changed and why, and what the figures stand on.
 * @param {HTMLElement} place
 * @param {Plan|null} plan
 * @param {(settings: Record<string, Setting>) => void} onRemedy
 */
export function renderAdvice(place, plan, onRemedy) {
  const chosen = plan?.modes.find((mode) => mode.selected);
  if (!chosen) return refill(place, null, () => []);
  /** @param {Advice} advice */
  const warning = (advice) => {
    const node = make('div', { class: 'warning' }, make('p', { text: t(advice.text) }));
    if (advice.remedy) {
      const button = make('button', { type: 'button', class: 'remedy', text: t(advice.remedy) });
      button.addEventListener('click', () => onRemedy(advice.settings));
      node.append(button);
    }
    return node;
  };
  const notes = (chosen.notes ?? []).map((text) => make('p', { class: 'note', text: t(text) }));
  const basis = [chosen.time_basis, chosen.memory_basis].map((text) => t(text ?? '')).filter(Boolean).join(' ');
  const isHere = place.contains(document.activeElement);
  refill(place, [currentLanguage(), chosen.warnings, chosen.notes, basis], () => [...chosen.warnings.map(warning), ...notes, make('p', { class: 'hint', text: basis })]);
  // The remedy that was pressed is gone, and the next one is not asked for.
  if (isHere && !place.contains(document.activeElement)) place.focus();
}

/**
 * The run in numbers.
 * @param {HTMLElement} place
 * @param {Plan|null} plan
 */
export function renderNumbers(place, plan) {
  const chosen = plan?.modes.find((mode) => mode.selected);
  if (!plan || !chosen) {
    place.replaceChildren();
    return;
  }
  /** @type {[string, string][]} */
  const facts = [
    [t('Tokens to learn from'), formatCount(plan.num_tokens)],
    [t('Kept for evaluation'), formatCount(plan.num_eval_tokens)],
    ...(plan.settings['eval_every'] ? [/** @type {[string, string]} */ ([t('Held-out windows in a reading'), t('{read} of {all}', { read: formatCount(plan.num_eval_windows_read ?? 0), all: formatCount(plan.num_eval_windows ?? 0) })])] : []),
    [t('Windows filled with text'), `${Math.round(100 * plan.occupancy)} %`],
    [t('Passes over the text'), formatFixed(plan.passes, plan.passes < 1 ? 3 : 1)],
    [t('Steps'), formatCount(plan.num_steps)],
    [t('Tokens in a step'), formatCount(plan.tokens_per_step)],
    [t('Parameters that learn'), formatCount(chosen.num_trained ?? 0)],
    [t('Operations a token'), t('{number} thousand', { number: Math.round((chosen.flops_per_token ?? 0) / 1e3) })],
    [t('Layers computed twice'), chosen.is_checkpointing ? t('yes, to save memory') : t('no')],
    [t('GPU memory'), t('{number} bytes', { number: plan.total_bytes })],
    [t('of which its optimizer’s state'), formatBytes(plan.optimizer_state_bytes)],
  ];
  const rows = facts.map(([name, value]) => make('tr', {}, make('th', { scope: 'row', text: name }), make('td', { text: value })));
  place.replaceChildren(make('table', {}, ...rows));
}
