// @ts-check
/** Find out whether this browser gives the page a GPU, and what to do where it does not. */

import { t } from '../messages/messages.js';

/**
 * @typedef {object} Support
 * @property {boolean} ok
 * @property {string} found one sentence
 * @property {string[]} steps what to do about it
 * @property {boolean} isFallback the adapter computes in software
 */

/** @param {string} found @param {string[]} steps @returns {Support} */
const missing = (found, steps) => ({ ok: false, found, steps, isFallback: false });

const hardwareSteps = () => [
  t('Open chrome://settings/system and switch on “Use graphics acceleration when available”, then relaunch Chrome.'),
  t('Update the graphics driver of this computer and restart.'),
  t('On Linux, start Chrome with --enable-features=Vulkan --enable-unsafe-webgpu.'),
  t('Without any GPU, start Chrome with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader: slow, but everything works.'),
];

/**
 * Look in the order in which things go wrong: context, interface, adapter, fallback.
 * @returns {Promise<Support>}
 */
export async function checkGpu() {
  if (!globalThis.isSecureContext) {
    return missing(t('This page came over an address that Chrome does not trust ({address}), and WebGPU is only given to trusted ones.', { address: location.origin }), [
      t('Open the page over https://, or as http://localhost on the same computer.'),
    ]);
  }
  const gpu = /** @type {any} */ (navigator).gpu;
  if (!gpu) {
    return missing(t('This browser has no WebGPU (navigator.gpu is absent).'), [
      t('Use Chrome or Edge 121 or newer on Windows, macOS, ChromeOS, Android or Linux.'),
      t('Where the browser is new enough, its policy or a flag may have switched WebGPU off: look at chrome://flags/#enable-unsafe-webgpu.'),
    ]);
  }
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) {
      return missing(t('This browser has WebGPU but found no graphics adapter to run it on (requestAdapter gave null).'), hardwareSteps());
    }
    const isFallback = Boolean(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
    return { ok: true, found: '', steps: [], isFallback };
  } catch (error) {
    return missing(t('Asking this browser for a graphics adapter failed: {reason}.', { reason: String(error) }), hardwareSteps());
  }
}
