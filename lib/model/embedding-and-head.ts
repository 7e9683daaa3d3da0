/** The first and last layers of a model, without the blocks between them: ids to hidden states, hidden states to logits. */
import type { ModelConfig } from '../checkpoint/model-config.js'
import type { GraphSource, StoredWeights } from '../checkpoint/read-weights.js'
import { PyramidionError } from '../errors.js'
import { native } from '../native.js'
import type { Placer } from './model-placement.js'
import { Projection, readVector } from './projection.js'

export class EmbeddingAndHead {
  #normed = new Float32Array()

  private constructor(
    readonly config: ModelConfig,
    private readonly embedding: Projection,
    readonly output: Projection,
    readonly norm: Float32Array,
  ) {}

  /** The head computes where `place` puts it, in the form that `transform` gives it; rows of the embedding come from the processor. */
  static async load(
    source: GraphSource,
    signal?: AbortSignal,
    place?: Placer,
    transform?: (stored: StoredWeights) => Promise<StoredWeights>,
  ): Promise<EmbeddingAndHead> {
    const { config } = source
    const load = (name: string) => Projection.load(source, name, false, signal)
    const loadHead = (name: string) =>
      Projection.load(source, name, false, signal, undefined, undefined, place, transform)
    const embedding = config.tieWordEmbeddings ? await loadHead('model.embed_tokens') : await load('model.embed_tokens')
    const output = config.tieWordEmbeddings ? embedding : await loadHead('lm_head')
    return new EmbeddingAndHead(config, embedding, output, await readVector(source, 'model.norm.weight', signal))
  }

  /** The same with another embedding; a head that is tied to it keeps its weights. */
  withEmbedding(stored: StoredWeights): EmbeddingAndHead {
    return new EmbeddingAndHead(this.config, this.embedding.withWeights(stored), this.output, this.norm)
  }

  /** Bytes the weights occupy in memory. */
  get bytes(): number {
    return this.embedding.linear.bytes + (this.output === this.embedding ? 0 : this.output.linear.bytes)
  }

  /** Rows of the embedding into x, ids.length x hidden. */
  embed(ids: Int32Array, x: Float32Array = new Float32Array(ids.length * this.config.hiddenSize)): Float32Array {
    this.embedding.linear.gatherRows(ids, x)
    return x
  }

  /** Logits (tokens x vocabulary) of hidden states (tokens x hidden), which stay as they are. */
  head(
    hidden: Float32Array,
    tokens: number,
    logits: Float32Array = new Float32Array(tokens * this.config.vocabularySize),
  ): Float32Array {
    const length = tokens * this.config.hiddenSize
    if (this.#normed.length < length) this.#normed = new Float32Array(length)
    const normed = this.#normed.subarray(0, length)
    native.rmsNorm(hidden, this.norm, this.config.rmsNormEpsilon, tokens, normed)
    this.output.forward(normed, tokens, logits)
    if (native.firstNonFinite(logits) >= 0) {
      throw new PyramidionError('NOT_FINITE', 'the model computed logits that are not finite: its weights are broken')
    }
    return logits
  }
}
