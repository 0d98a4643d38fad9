// @ts-check
/** The report for a bug report, in English: what runs here, and nothing that a person typed. */

import { manifest } from '../../manifest.js';
import { t } from '../../messages/messages.js';
import { state } from '../../store.js';
import { button, byId, textarea } from '../dom.js';

/** @import {Studio} from '../../api.js' */

/** Python answers within this, or is no more. */
const PATIENCE_MS = 5_000;

/** What the page knows of itself and the browser; of the model its kind, never its name. @param {string} problem */
async function about(problem) {
  const { model, plan, status } = state;
  const build = await manifest().then((found) => found.build, () => 'unknown');
  return {
    build,
    browser: navigator.userAgent,
    'trusted address': globalThis.isSecureContext,
    'has WebGPU': 'gpu' in navigator,
    'cross-origin isolated': globalThis.crossOriginIsolated,
    processors: navigator.hardwareConcurrency,
    'memory as the browser tells it': `${Reflect.get(navigator, 'deviceMemory') ?? '?'} GiB`,
    status,
    model: model ? `${model.architecture}, ${model.num_parameters} parameters, ${model.num_layers} layers, quantized on load: ${model.quantization}, ${model.weights_bytes} bytes` : 'none',
    'planned run': plan?.total_bytes ? `${plan.total_bytes} bytes` : 'none',
    ...(problem ? { problem } : {}),
  };
}

/** @param {Record<string, unknown>} facts for where Python cannot write the report */
const plain = (facts) => ['# LoRA Lab: this device', '', ...Object.entries(facts).map(([name, value]) => `- ${name}: ${value}`), '', 'There is no device, or the engine does not answer.', ''].join('\n');

/** @param {Studio} studio @param {string} problem what the dialog says went wrong @returns {Promise<string>} */
async function makeReport(studio, problem) {
  const facts = await about(problem);
  const late = new Promise((_, reject) => setTimeout(reject, PATIENCE_MS));
  return Promise.race([studio.request('device-report', { about: facts }), late]).catch(() => plain(facts));
}

/**
 * @param {Studio} studio
 * @param {() => string} problem
 * @param {(text: string) => void} tell heard by screen readers
 */
export function mountReport(studio, problem, tell) {
  const drawer = byId('device-report-drawer', HTMLDetailsElement);
  const box = textarea('device-report');

  const fill = async () => {
    if (drawer.open) box.value = await makeReport(studio, problem());
  };
  let isFresh = false;
  drawer.addEventListener('toggle', () => {
    if (!isFresh) void fill(); // writing it again would take the selection away
    isFresh = false;
  });
  button('device-copy').addEventListener('click', async () => {
    const report = await makeReport(studio, problem());
    try {
      await navigator.clipboard.writeText(report);
      box.value = report;
      tell(t('Copied. It holds nothing that you typed.'));
    } catch {
      box.value = report;
      isFresh = !drawer.open;
      drawer.open = true;
      box.focus();
      box.select();
      tell(t('This browser does not let the page copy: the report is selected, copy it with Ctrl+C or ⌘C.'));
    }
  });

  return {
    /** What it tells has changed. */
    refresh: () => void fill(),
    close() {
      drawer.open = false;
    },
  };
}
