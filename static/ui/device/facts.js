// @ts-check
/** The facts of a device in words: figures on top, the rest in drawers. */

import { t } from '../../messages/messages.js';
import { state } from '../../store.js';
import { element, make } from '../dom.js';
import { formatBytes, formatCount, formatRate } from '../format.js';

/**
 * What `diagnose` answers: `app/plan/probe.py` says what each is.
 * @typedef {object} Diagnosis
 * @property {{name: string, vendor: string, backend: string, is_software: boolean, subgroup_size: number, version: string}} adapter
 * @property {string[]} features
 * @property {string[]} missing_features
 * @property {Record<string, number>} limits
 * @property {Record<string, string>} variants
 * @property {boolean} is_tuned
 * @property {{budget_bytes: number, buffer_bytes: number, allocated_bytes: number, is_assumed: boolean, source: string}} memory
 * @property {{fma_gflops: number, copy_gbytes_per_second: number, int4_matmul_gflops: number, dispatch_us: number}|null} peaks
 */

/** @typedef {[string, string]} Row */

/** @param {string} name of WebGPU's feature */
function purpose(name) {
  switch (name) {
    case 'shader-f16': return t('Half precision: weights and products in half the bytes');
    case 'subgroups': return t('Invocations share registers: faster products and sums');
    case 'timestamp-query': return t('The GPU times its own work: steadier measurements');
    case 'chromium-experimental-subgroup-matrix': return t('Matrix units; a browser offers them behind a flag');
    case 'packed_4x8_integer_dot_product': return t('Products in eight bits: faster answers');
    default: return '';
  }
}

/** @param {string} name of `app.gpu.device.Limits` @param {number} value @returns {Row} */
function limit(name, value) {
  const bytes = value ? formatBytes(value) : t('not told');
  switch (name) {
    case 'max_buffer_bytes': return [t('Largest buffer'), bytes];
    case 'max_binding_bytes': return [t('Of it, seen by one kernel'), bytes];
    case 'max_storage_buffers': return [t('Buffers of one kernel'), formatCount(value)];
    case 'max_workgroup_storage_bytes': return [t('Memory of a workgroup'), bytes];
    case 'max_invocations': return [t('Invocations of a workgroup'), formatCount(value)];
    case 'max_workgroups': return [t('Workgroups in one direction'), formatCount(value)];
    case 'memory_bytes': return [t('Memory of all buffers'), bytes];
    default: return [name, formatCount(value)];
  }
}

/** @param {Row[]} rows */
function table(rows) {
  return make('table', {}, make('tbody', {}, ...rows.map(([name, value]) => make('tr', {}, make('th', { scope: 'row', text: name }), make('td', { text: value })))));
}

/** @param {Diagnosis} found */
function features({ features: there, missing_features: missing }) {
  const rows = [...there.map((name) => ({ name, is: true })), ...missing.map((name) => ({ name, is: false }))];
  return make('table', {}, make('tbody', {}, ...rows.map(({ name, is }) => make('tr', {},
    make('th', { scope: 'row' }, make('code', { text: name, translate: 'no' }), make('small', { text: purpose(name) })),
    make('td', { class: is ? 'good' : 'absent', text: is ? t('offered') : t('not offered') })))));
}

/** @param {string} name @param {Node[]} inside */
const drawer = (name, ...inside) => make('details', { class: 'drawer' }, make('summary', { text: name }), ...inside);

/** @param {string} label @param {string} value @param {string} note */
const figure = (label, value, note) => make('div', {}, make('dt', { text: label }), make('dd', { text: value }), make('dd', { class: 'hint', text: note }));

/** @param {Diagnosis} found */
function figures({ peaks, memory }) {
  const rate = (/** @type {number|undefined} */ gflops) => (gflops === undefined ? '–' : t('{rate} GFLOP/s', { rate: formatRate(gflops) }));
  return make('dl', { class: 'device-figures', id: 'device-figures' },
    figure(t('INT4 products'), rate(peaks?.int4_matmul_gflops), t('what training and answers mostly are')),
    figure(t('Peak in f32'), rate(peaks?.fma_gflops), t('multiply-adds in registers, the most it can do')),
    figure(t('Memory speed'), peaks ? t('{rate} GB/s', { rate: formatRate(peaks.copy_gbytes_per_second) }) : '–', t('read and written')),
    figure(t('Memory for a run'), formatBytes(memory.budget_bytes), memory.is_assumed ? t('assumed: WebGPU does not tell') : t('half of this computer’s')));
}

/** @param {Diagnosis} found */
export function showFacts(found) {
  const { adapter, memory, peaks, limits, variants } = found;
  const isFirst = !element('device-facts').firstChild;
  const open = new Set(isFirst ? ['adapter'] : [...element('device-facts').querySelectorAll('details[open]')].map((node) => node.getAttribute('data-name')));
  const drawers = {
    adapter: drawer(t('Graphics adapter'), table([[t('Name'), adapter.name], [t('Vendor'), adapter.vendor || t('not told')], [t('Interface'), adapter.backend],
      [t('Computes'), adapter.is_software ? t('in software, slowly') : t('on a GPU')],
      [t('Subgroup'), adapter.subgroup_size ? t('{count} invocations', { count: adapter.subgroup_size }) : t('none, or of unknown size')],
      ...(peaks ? [/** @type {Row} */ ([t('One launch'), t('{rate} µs', { rate: formatRate(peaks.dispatch_us) })])] : [])])),
    memory: drawer(t('Memory'), table([[t('Held by this page now'), formatBytes(memory.allocated_bytes)],
      ...(state.model ? [/** @type {Row} */ ([t('Weights of the loaded model'), formatBytes(state.model.weights_bytes)])] : []),
      ...(state.plan?.total_bytes ? [/** @type {Row} */ ([t('What the planned run takes'), formatBytes(state.plan.total_bytes)])] : []),
      [t('Taken to be free for a run'), formatBytes(memory.budget_bytes)], [t('Largest part in one piece'), formatBytes(memory.buffer_bytes)], [t('On what that stands'), t(memory.source)]])),
    features: drawer(t('Features'), features(found)),
    limits: drawer(t('Limits'), table(Object.entries(limits).map(([name, value]) => limit(name, value)))),
    kernels: drawer(t('Kernels in use'),
      make('p', { class: 'hint', text: found.is_tuned ? t('Chosen by measuring all that this device can run.') : t('The usual ones for such a device; a GPU is measured when its first model is loaded.') }),
      make('div', { translate: 'no', class: 'device-kernels' }, table(Object.entries(variants)))),
  };
  for (const [name, node] of Object.entries(drawers)) {
    node.dataset['name'] = name;
    node.open = open.has(name);
  }
  element('device-facts').replaceChildren(figures(found), ...Object.values(drawers));
}
