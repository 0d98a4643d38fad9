// @ts-check
/** What the run under the curve is made of: optimizer, how full its windows are, ranks in use. */

import { t } from '../messages/messages.js';
import { state, watch } from '../store.js';
import { byId, element, make, setText } from './dom.js';
import { formatBytes } from './format.js';

/** @import {Plan, Run} from '../types.js' */

const MODULES = ['q', 'k', 'v', 'o', 'gate', 'up', 'down'];

/** @param {Plan} plan */
export function describe(plan) {
  const { optimizer, packing } = plan.settings;
  return t('{optimizer}, state {size} · {percent} % of the windows’ room holds text{packing}', {
    optimizer, size: formatBytes(plan.optimizer_state_bytes), percent: Math.round(100 * plan.occupancy), packing: packing === 'none' ? '' : ` (${packing})`,
  });
}

/**
 * Ranks in use by layer, in the order of the model.
 * @param {Record<string, number>} ranks by module path
 * @returns {{layer: number, counts: (number|null)[]}[]} counts in the order of MODULES
 */
export function byLayer(ranks) {
  /** @type {Map<number, (number|null)[]>} */
  const rows = new Map();
  for (const [path, count] of Object.entries(ranks)) {
    const [, layer, module] = /\.(\d+)\.\w+\.(\w+)_proj$/.exec(path) ?? [];
    if (layer === undefined || module === undefined) continue;
    const row = rows.get(Number(layer)) ?? MODULES.map(() => null);
    row[MODULES.indexOf(module)] = count;
    rows.set(Number(layer), row);
  }
  return [...rows].sort(([a], [b]) => a - b).map(([layer, counts]) => ({ layer, counts }));
}

/** @param {Run|null} run */
function renderRanks(run) {
  const last = run?.steps.findLast((step) => step.ranks);
  const place = element('ranks');
  place.hidden = !last?.ranks;
  if (!last?.ranks || place.dataset['step'] === String(last.step)) return;
  place.dataset['step'] = String(last.step);
  const total = Object.values(last.ranks).reduce((sum, count) => sum + count, 0);
  setText(element('ranks-sum'), t('Ranks in use since step {step}: {total} in {number} projections', { step: last.step, total, number: Object.keys(last.ranks).length }));
  const head = make('tr', {}, make('th', { scope: 'col', text: t('Layer') }), ...MODULES.map((text) => make('th', { scope: 'col', text })));
  const rows = byLayer(last.ranks).map(({ layer, counts }) => make(
    'tr', {}, make('th', { scope: 'row', text: String(layer) }), ...counts.map((count) => make('td', { text: count === null ? '–' : String(count) })),
  ));
  byId('rank-table', HTMLTableElement).replaceChildren(head, ...rows);
}

export function mountRunFacts() {
  watch(['run'], () => {
    const { run } = state;
    element('run-facts').hidden = !run?.plan;
    if (run?.plan) setText(element('run-facts-text'), describe(run.plan));
    renderRanks(run);
  });
}
