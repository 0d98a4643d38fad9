// @ts-check
/** Find out whether this browser gives the page a GPU, and what to do where it does not. */

/**
 * @typedef {object} Support
 * @property {boolean} ok
 * @property {string} found one sentence
 * @property {string[]} steps what to do about it
 * @property {boolean} isFallback the adapter computes in software
 */

/** @param {string} found @param {string[]} steps @returns {Support} */
const missing = (found, steps) => ({ ok: false, found, steps, isFallback: false });

const HARDWARE_STEPS = [
  'Open chrome://settings/system and switch on “Use graphics acceleration when available”, then relaunch Chrome.',
  'Update the graphics driver of this computer and restart.',
  'On Linux, start Chrome with --enable-features=Vulkan --enable-unsafe-webgpu.',
  'Without any GPU, start Chrome with --enable-unsafe-webgpu --use-webgpu-adapter=swiftshader: slow, but everything works.',
];

/**
 * Look in the order in which things go wrong: context, interface, adapter, fallback.
 * @returns {Promise<Support>}
 */
export async function checkGpu() {
  if (!globalThis.isSecureContext) {
    return missing(`This page came over an address that Chrome does not trust (${location.origin}), and WebGPU is only given to trusted ones.`, [
      'Open the page over https://, or as http://localhost on the same computer.',
    ]);
  }
  const gpu = /** @type {any} */ (navigator).gpu;
  if (!gpu) {
    return missing('This browser has no WebGPU (navigator.gpu is absent).', [
      'Use Chrome or Edge 121 or newer on Windows, macOS, ChromeOS, Android or Linux.',
      'Where the browser is new enough, its policy or a flag may have switched WebGPU off: look at chrome://flags/#enable-unsafe-webgpu.',
    ]);
  }
  try {
    const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) {
      return missing('This browser has WebGPU but found no graphics adapter to run it on (requestAdapter gave null).', HARDWARE_STEPS);
    }
    const isFallback = Boolean(adapter.info?.isFallbackAdapter ?? adapter.isFallbackAdapter);
    return { ok: true, found: '', steps: [], isFallback };
  } catch (error) {
    return missing(`Asking this browser for a graphics adapter failed: ${String(error)}.`, HARDWARE_STEPS);
  }
}
