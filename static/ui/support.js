// @ts-check
/** What the page says and does where there is no GPU to compute on. */

import { update } from '../store.js';
import { element, make, setText } from './dom.js';
import { showError } from './messages.js';

/** @import {Support} from '../gpu-check.js' */

/** @param {Support} support */
export function showNoGpu(support) {
  update({ supported: false, status: 'error', gpuText: 'none available' });
  showError(`${support.found} Training and chat need it: the section below says how to switch it on.`);
  setText(element('help-found'), support.found);
  element('help-steps').replaceChildren(...support.steps.map((step) => make('li', { text: step })));
  element('webgpu-help').hidden = false;
}
