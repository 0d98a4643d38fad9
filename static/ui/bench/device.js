// @ts-check
/** What is known of the device: who it is, its features, its limits. */

import { t } from '../../messages/messages.js';
import { element, setText } from '../dom.js';
import { formatBytes } from '../format.js';

/** @import {Gpu} from '../../types.js' */

/** @param {Gpu} gpu what the worker opened */
export function showGpu({ name, backend, is_software: isSoftware, features }) {
  setText(element('gpu-status'), isSoftware ? t('{name} (software, slow)', { name: `${name}, ${backend}` }) : `${name}, ${backend}`);
  setText(element('bench-features'), features.join(', ') || t('none of those that speed things up'));
  if (isSoftware) {
    setText(element('bench-time'), t('This graphics adapter is software: expect some minutes a model; of TinyLlama-1.1B only the operations are measured. Leave this tab in front and the machine alone meanwhile.'));
  }
}

/** @param {Record<string, any>} figure the benchmark's line about the device */
export function showDevice({ limits, subgroup_size: subgroup }) {
  setText(element('bench-limits'), [
    t('buffers {size}', { size: formatBytes(limits.max_buffer_bytes) }),
    t('bindings {size}', { size: formatBytes(limits.max_binding_bytes) }),
    t('{number} storage buffers', { number: limits.max_storage_buffers }),
    t('workgroups of {number} invocations and {size}', { number: limits.max_invocations, size: formatBytes(limits.max_workgroup_storage_bytes) }),
    ...(subgroup ? [t('subgroups of {number}', { number: subgroup })] : []),
  ].join(', '));
}
