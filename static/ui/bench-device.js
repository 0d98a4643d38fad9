// @ts-check
/** What is known of the device: who it is, its features, its limits. */

import { element, setText } from './dom.js';
import { formatBytes, formatCount } from './format.js';

/** @import {Gpu} from '../types.js' */

/** @param {Gpu} gpu what the worker opened */
export function showGpu({ name, backend, is_software: isSoftware, features }) {
  setText(element('gpu-status'), `${name}, ${backend}${isSoftware ? ' (software: slow)' : ''}`);
  setText(element('bench-features'), features.join(', ') || 'none of those that speed things up');
  if (isSoftware) {
    setText(element('bench-time'), 'This graphics adapter is software: expect some minutes a model; of TinyLlama-1.1B only the operations are measured. Leave this tab in front and the machine alone meanwhile.');
  }
}

/** @param {Record<string, any>} figure the benchmark's line about the device */
export function showDevice({ limits, subgroup_size: subgroup }) {
  setText(element('bench-limits'), [
    `buffers ${formatBytes(limits.max_buffer_bytes)}`,
    `bindings ${formatBytes(limits.max_binding_bytes)}`,
    `${limits.max_storage_buffers} storage buffers`,
    `workgroups of ${formatCount(limits.max_invocations)} invocations and ${formatBytes(limits.max_workgroup_storage_bytes)}`,
    ...(subgroup ? [`subgroups of ${subgroup}`] : []),
  ].join(', '));
}
