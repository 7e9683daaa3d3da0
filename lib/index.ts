/** The public surface of pyramidion: quantize a matrix or a model, run it, measure it. */
export { capabilities, setThreadCount } from './capabilities.js'
export type { ModelConfig, RopeScaling } from './checkpoint/model-config.js'
export type { ModelSource, TensorFormat, TensorInfo } from './checkpoint/model-source.js'
export { openModel } from './checkpoint/open-model.js'
export type {
  IntegerTensorMetadata,
  MxintTensorMetadata,
  PvqTensorMetadata,
  QuantizedTensorMetadata,
  RotationMetadata,
} from './checkpoint/quantized-metadata.js'
export type {
  ChatMessage,
  DecodeOptions,
  EncodeOptions as TokenizeOptions,
  StreamDecoder,
  Tokenizer,
} from './checkpoint/tokenizer.js'
export { type Device, type DeviceChoice, devices, type WarningListener } from './device.js'
export { type ErrorCode, PyramidionError } from './errors.js'
export { type EvaluateOptions, type Evaluation, evaluate } from './evaluation/evaluate.js'
export { type Inspection, inspectModel, type WeightInspection } from './evaluation/inspect.js'
export { type LayerError, type LayerErrorsOptions, layerErrors } from './evaluation/layer-errors.js'
export type { Distribution } from './evaluation/summary.js'
export type { WindowOptions } from './evaluation/windows.js'
export type { Activations } from './linear/activations.js'
export { Hessian } from './linear/hessian.js'
export type { Layout } from './linear/layout.js'
export type { LinearTensors } from './linear/linear-tensors.js'
export type { LowRankMethod } from './linear/low-rank.js'
export type { DeviceOptions } from './linear/placement.js'
export { type LowRankOptions, type QuantizeLinearOptions, quantizeLinear } from './linear/quantize-linear.js'
export { QuantizedLinear, type RunOptions } from './linear/quantized-linear.js'
export type { FinishReason, GenerationOptions, GenerationSummary } from './model/generation-options.js'
export type { HeadForm } from './model/head-form.js'
export { type LoadModelOptions, loadModel, type Model, type ModelTokenizer } from './model/load-model.js'
export type { SamplingOptions } from './model/sampler.js'
export type {
  Capabilities,
  IntegerWeights,
  KeyValueFormat,
  Lattice,
  LowRankFactors,
  MxintWeights,
  PvqSegment,
  PvqWeights,
} from './native.js'
export type { AdvancedOptions } from './quantization/advanced-options.js'
export {
  type LayerReport,
  type QuantizeModelOptions,
  type QuantizeModelResult,
  quantizeModel,
} from './quantization/quantize-model.js'
export type { RecoveryReport } from './quantization/recovery-phase.js'
export { type ErrorStatistics, errorStatistics } from './quantizers/error-statistics.js'
export { type IntegerOptions, type IntegerQuantizer, integer } from './quantizers/integer.js'
export { type MxintOptions, type MxintQuantizer, mxint } from './quantizers/mxint.js'
export { type PvqCodeOptions, type PvqQuantizer, type PvqRateOptions, type PvqRow, pvq } from './quantizers/pvq.js'
export type { EncodeOptions, QuantizedWeights, Quantizer } from './quantizers/quantizer.js'
export type { Progress } from './worker/job.js'
export type { CallOptions } from './worker/worker-host.js'
