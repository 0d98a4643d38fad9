// @ts-check
/** What the page says and does where there is no GPU to compute on. */

import { update } from '../store.js';
import { element, make } from './dom.js';
import { showError } from './messages.js';

/** @import {Support} from '../gpu-check.js' */

/** @param {Support} support */
export function showNoGpu(support) {
  update({ supported: false, status: 'error', gpuText: 'none available' });
  showError(`${support.found} Training and chat need one.`);
  element('error-text').append(' ', make('a', { href: '#webgpu-help', text: 'How to get one' }));
  element('help-steps').replaceChildren(...support.steps.map((step) => make('li', { text: step })));
  element('webgpu-help').hidden = false;
}
