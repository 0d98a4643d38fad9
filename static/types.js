// @ts-check
/**
 * Shapes of what passes between the page and its worker; `app/studio/protocol/` is the
 * other half. Nothing here runs.
 *
 * @typedef {'booting'|'loading'|'ready'|'training'|'paused'|'generating'|'checking'|'error'} Status
 *
 * @typedef {{text: string, loaded_bytes: number, total_bytes: number}} Boot
 * @typedef {{name: string, backend: string, is_software: boolean, features: string[],
 *   variants: Record<string, string>}} Gpu
 * @typedef {{name: string, stage: 'download'|'check'|'offline'|'gpu'|'tuning', loaded_bytes: number, total_bytes: number}} ModelProgress
 * @typedef {{name: string, architecture: string, num_parameters: number, num_layers: number,
 *   vocab_size: number, max_context: number, weights_bytes: number, quantization: string, made_room: boolean}} ModelInfo
 * @typedef {{message: string, job: 'training'|'loading'|'checking'|'generating'|'', gone: string[]}} DeviceLost
 *
 * @typedef {{text: string}|{files: {file: Blob, name: string}[]}} Corpus
 * @typedef {{text: string, is_learned: boolean, is_first: boolean}} PreviewToken
 * @typedef {{windows: PreviewToken[][], num_documents: number, num_windows: number, num_eval_windows: number,
 *   num_tokens: number, num_padding: number, occupancy: number, num_cut: number, num_dropped: number,
 *   num_repeated: number, num_nearly: number, tables: {name: string, columns: string[]}[],
 *   repeated: {example: string, count: number, is_exact: boolean}[]}} Preview
 * @typedef {{num_characters: number, num_tokens: number}} Count
 * @typedef {string|number|boolean|string[]|null} Setting
 * @typedef {{name: string, label: string, help: string, kind: 'int'|'float'|'choice'|'modules'|'switch'|'text',
 *   choices: string[], default: Setting, optional: boolean}} Field
 * @typedef {{settings: Record<string, Setting>, suggested: Record<string, Setting>, problem: string,
 *   num_steps: number, num_tokens: number, num_eval_tokens: number, num_eval_windows?: number, num_eval_windows_read?: number,
 *   tokens_per_step: number,
 *   seconds: number, passes: number, coverage: string, bytes: Record<string, number>, total_bytes: number,
 *   optimizer_state_bytes: number, occupancy: number, modes: ModePlan[]}} Plan
 * @typedef {{text: string, remedy: string, settings: Record<string, Setting>}} Advice
 * @typedef {{mode: 'adapter'|'full', feasible: boolean, selected: boolean, reason: string,
 *   bytes: Record<string, number>|null, seconds: number|null, seconds_low: number|null,
 *   seconds_high: number|null, passes: number|null, coverage: string, warnings: Advice[], notes?: string[], time_basis?: string,
 *   memory_basis?: string, basis?: 'probe'|'similar'|'calibration', num_steps?: number,
 *   is_checkpointing?: boolean, num_trained?: number, flops_per_token?: number,
 *   settings?: Record<string, Setting>, confirm?: string}} ModePlan
 * @typedef {{name: string, label: string, help: string}} Preset
 *
 * @typedef {{step: number, loss: number, grad_norm: number, learning_rate: number, num_tokens: number,
 *   tokens_per_second: number, skipped: boolean, seconds: number, ranks: Record<string, number>|null,
 *   gpu_busy: number|null}} Step
 * @typedef {{steps: number, stopped: boolean, num_tokens: number, num_skipped: number,
 *   seconds: number, first_loss: number, final_loss: number, stopped_early: boolean}} TrainDone
 * @typedef {{step: number, loss: number, perplexity: number}} EvalPoint
 * @typedef {{step: number, prompt: string, text: string}} Sample
 * @typedef {{step: number, num_steps: number, saved_at: string, base_name: string,
 *   is_this_model: boolean, num_characters: number, mode: 'adapter'|'full', bytes: number}} Resumable
 * @typedef {{step: number, fraction: number|null, is_full: boolean, is_model: boolean}} Keeping
 * @typedef {{numSteps: number, plan: Plan|null, steps: Step[], phase: string, fraction: number|null,
 *   done: TrainDone|null, failed: boolean, evaluations: EvalPoint[], samples: Sample[],
 *   keptAt: number, warning: string, number: number, startedAt: number, model: string,
 *   key: string, name: string, numLost?: number}} Run `key`: of its record, '' where none is kept
 * @typedef {{key: string, kind: 'newer'|'damaged', at: number, bytes: number}} DamagedRecord
 *
 * @typedef {{step: number, learning_rate: number, loss: number, loss_before: number, num_tokens: number,
 *   seconds: number, change: number, num_steps: number}} RatePoint
 * @typedef {{suggestion: number|null, range: [number, number]|null, reason: string, fall: number,
 *   scatter: number, smoothed: number[], steps: number, num_tokens: number, seconds: number,
 *   stopped: boolean, diverged: boolean}} RateResult
 * @typedef {{points: RatePoint[], stage: string, fraction: number|null, result: RateResult|null,
 *   problem: string, subject: string}} RateSearch
 *
 * @typedef {{id: number, rank: number, alpha: number, bits: number, num_parameters: number,
 *   origin: 'trained'|'loaded', name: string, steps: number, strength: number,
 *   has_record: boolean, is_saved: boolean}} Adapter
 * @typedef {{name: string, steps: number, num_parameters: number, weights_bytes: number,
 *   weights_format: string, is_saved: boolean, is_kept: boolean}} Tuned
 * @typedef {{steps: number, saved_at: string, base_name: string, is_this_model: boolean,
 *   bytes: number}} KeptModel
 * @typedef {{loss: number, perplexity: number, num_tokens: number, num_predicted: number}} Score
 * @typedef {{verdict: 'learned'|'overfit'|'unchanged'|'worse'|'unclear', gain: number, margin: number,
 *   train_gain: number|null, num_better: number, num_passages: number}} Judgement
 * @typedef {{base: Score, lora: Score|null, source: 'held-out'|'learnt'|'pasted'|'other'|'unknown', shortened: boolean,
 *   stopped: boolean, judgement: Judgement|null,
 *   passages: {text: string, is_cut: boolean, base: number, lora: number}[]}} Evaluation
 *
 * @typedef {{role: 'user'|'assistant'|'system', content: string}} Message
 * @typedef {{text: string, stop_reason: 'stop'|'length'|'stopped', num_tokens: number,
 *   num_prompt_tokens: number, max_context: number, tokens_per_second: number,
 *   prefill_seconds: number, num_dropped: number}} Answer
 * @typedef {{num_prompt_tokens: number, room: number, max_new_tokens: number, max_context: number, num_dropped: number}} PromptSize
 *
 * @typedef {{kind: 'bundled'}|{kind: 'url', url: string, size?: number, sha256?: string}|
 *   {kind: 'url-folder', url: string, name: string, asked?: string,
 *    files: {name: string, size: number, sha256: string}[]}|
 *   {kind: 'file', file: File}|{kind: 'folder', files: File[], name: string}|
 *   {kind: 'stored', stored: string, name: string}} ModelSource
 * @typedef {{verdict: 'fits'|'tight'|'none'|'unsupported', reason: string, is_refused: boolean,
 *   weights_bytes: number, total_bytes: number, seconds?: number|null}} Fit
 * @typedef {{fits: Fit[], budget_bytes: number, is_assumed: boolean, source: string, is_software: boolean}} Fits
 */
export {};
