// @ts-check
/** What the run under the curve is made of: optimizer, how full its windows are, ranks in use. */

import { t } from '../../messages/messages.js';
import { state, watch } from '../../store.js';
import { shownRun } from '../console/runs.js';
import { trackOf } from '../console/track.js';
import { byId, element, make, setText } from '../dom.js';
import { formatBytes } from '../format.js';

/** @import {Plan, Run} from '../../types.js' */

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

/** What the table shows: it is made anew only where that changes. */
let shownRanks = '';

/**
 * Ranks by layer and projection after one of the changes; by how much each changed there.
 * @param {Run|null} run
 */
function renderRanks(run) {
  const changes = run ? trackOf(run).rankChanges : [];
  const last = changes.at(-1);
  element('ranks').hidden = !last;
  if (!run || !last) return;
  const select = byId('ranks-step', HTMLSelectElement);
  const options = `${run.number}:${changes.length}`;
  if (select.dataset['options'] !== options) {
    const isSame = select.dataset['options']?.startsWith(`${run.number}:`);
    const wanted = isSame && select.selectedIndex > 0 ? select.value : '';
    select.dataset['options'] = options;
    select.replaceChildren(...changes.map(({ step }) => make('option', { value: String(step), text: t('since step {step}', { step }) })).reverse());
    if (wanted) select.value = wanted;
  }
  const at = Math.max(0, changes.findIndex(({ step }) => String(step) === select.value));
  const total = Object.values(last.ranks).reduce((sum, count) => sum + count, 0);
  setText(element('ranks-sum'), t('Ranks in use since step {step}: {total} in {number} projections', { step: last.step, total, number: Object.keys(last.ranks).length }));
  if (shownRanks === `${options}:${at}`) return;
  shownRanks = `${options}:${at}`;
  const before = new Map(byLayer(changes[at - 1]?.ranks ?? {}).map(({ layer, counts }) => [layer, counts]));
  const head = make('tr', {}, make('th', { scope: 'col', text: t('Layer') }), ...MODULES.map((text) => make('th', { scope: 'col', text })));
  const rows = byLayer(changes[at].ranks).map(({ layer, counts }) => make(
    'tr', {}, make('th', { scope: 'row', text: String(layer) }), ...counts.map((count, index) => {
      const change = (count ?? 0) - (before.get(layer)?.[index] ?? count ?? 0);
      const more = change ? [make('small', { text: ` ${change > 0 ? '+' : '−'}${Math.abs(change)}` })] : [];
      return make('td', {}, count === null ? '–' : String(count), ...more);
    }),
  ));
  byId('rank-table', HTMLTableElement).replaceChildren(head, ...rows);
}

export function mountRunFacts() {
  watch(['run'], () => {
    const { run } = state;
    element('run-facts').hidden = !run?.plan;
    if (run?.plan) setText(element('run-facts-text'), describe(run.plan));
  });
  const render = () => renderRanks(shownRun());
  watch(['run', 'pastRuns', 'shownRun'], render);
  byId('ranks-step', HTMLSelectElement).addEventListener('change', render);
}
