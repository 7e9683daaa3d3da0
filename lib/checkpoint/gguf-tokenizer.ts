/**
 * tokenizer.json and tokenizer_config.json made from the key-value pairs of a GGUF file, so that one tokenizer serves every
 * source and a model quantized from GGUF keeps its tokenizer. Byte-level BPE (`gpt2`) and SentencePiece BPE (`llama`).
 */
import { PyramidionError } from '../errors.js'
import { Fields, type UntrustedObject } from './fields.js'
import type { GgufValue } from './gguf-header.js'
import { preTokenizers } from './gguf-pre-tokenizers.js'
import { metaspace } from './token-pieces.js'

/** llama.cpp's token types. */
const tokenType = { normal: 1, control: 3, userDefined: 4 }

interface Vocabulary {
  tokens: string[]
  types: ArrayLike<number>
}

/** File name and contents; nothing when the file has no tokenizer. */
export function ggufTokenizerFiles(metadata: ReadonlyMap<string, GgufValue>, where: string): [string, string][] {
  const fields = new Fields(Object.fromEntries(metadata), where)
  if (!fields.has('tokenizer.ggml.model')) return []
  const kind = fields.string('tokenizer.ggml.model')
  if (kind !== 'gpt2' && kind !== 'llama')
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${where}: tokenizer.ggml.model is ${kind}; supported are gpt2 (byte-level BPE) and llama (SentencePiece BPE)`,
    )
  const vocabulary = readVocabulary(fields)
  const { json, addsBos } = kind === 'gpt2' ? byteLevel(fields, vocabulary) : sentencePiece(fields, vocabulary)
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    post_processor: null,
    ...json,
  }
  return [
    ['tokenizer.json', JSON.stringify(tokenizer)],
    ['tokenizer_config.json', `${JSON.stringify(tokenizerConfig(fields, vocabulary, addsBos), null, 2)}\n`],
  ]
}

function readVocabulary(fields: Fields): Vocabulary {
  const tokens = strings(fields, 'tokenizer.ggml.tokens')
  if (new Set(tokens).size !== tokens.length) fields.fail('tokenizer.ggml.tokens', 'tokens that differ from each other')
  const types = fields.get('tokenizer.ggml.token_type') ?? new Int32Array(tokens.length).fill(tokenType.normal)
  if (!(types instanceof Int32Array || types instanceof Uint32Array) || types.length !== tokens.length)
    fields.fail('tokenizer.ggml.token_type', `${tokens.length} whole numbers`)
  return { tokens, types }
}

function strings(fields: Fields, name: string): string[] {
  const values = fields.array(name)
  if (typeof values[0] !== 'string') fields.fail(name, 'an array of strings')
  return values as string[]
}

function isAdded(type: number): boolean {
  return type === tokenType.control || type === tokenType.userDefined
}

function addedTokens({ tokens, types }: Vocabulary): UntrustedObject[] {
  return tokens.flatMap((content, id) =>
    isAdded(types[id])
      ? [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: types[id] === 3 }]
      : [],
  )
}

function tokenizerConfig(fields: Fields, { tokens }: Vocabulary, addsBos: boolean): UntrustedObject {
  const config: Record<string, unknown> = {
    tokenizer_class: 'PreTrainedTokenizerFast',
    add_bos_token: fields.boolean('tokenizer.ggml.add_bos_token', addsBos),
    clean_up_tokenization_spaces: false,
  }
  for (const [name, key] of [
    ['bos_token', 'bos_token_id'],
    ['eos_token', 'eos_token_id'],
    ['unk_token', 'unknown_token_id'],
    ['pad_token', 'padding_token_id'],
  ]) {
    const [id] = fields.tokenIds(`tokenizer.ggml.${key}`, tokens.length)
    if (id !== undefined) config[name] = tokens[id]
  }
  if (fields.has('tokenizer.chat_template')) config.chat_template = fields.string('tokenizer.chat_template')
  return config
}

/** Added tokens too: the reference implementation gives those that are not in the vocabulary ids of its own. */
function vocab(tokens: string[]): UntrustedObject {
  return Object.fromEntries(tokens.map((token, id) => [token, id]))
}

interface Converted {
  json: UntrustedObject
  addsBos: boolean
}

function byteLevel(fields: Fields, { tokens }: Vocabulary): Converted {
  const name = fields.string('tokenizer.ggml.pre', 'default')
  const pre = preTokenizers.find(({ names }) => names.includes(name))
  if (!pre)
    throw new PyramidionError(
      'UNSUPPORTED_FORMAT',
      `${fields.where}: tokenizer.ggml.pre is ${name}; supported are ${preTokenizers.flatMap(({ names }) => names).join(', ')}`,
    )
  const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false })
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }
  return {
    addsBos: pre.addsBos,
    json: {
      normalizer: pre.composes ? { type: 'NFC' } : null,
      pre_tokenizer: { type: 'Sequence', pretokenizers: [...pre.patterns.map(split), bytes] },
      decoder: { ...bytes, use_regex: true },
      model: {
        ...bpe,
        ignore_merges: pre.ignoreMerges,
        vocab: vocab(tokens),
        merges: strings(fields, 'tokenizer.ggml.merges'),
      },
    },
  }
}

const bpe = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
}

function sentencePiece(fields: Fields, { tokens, types }: Vocabulary): Converted {
  const scores = fields.get('tokenizer.ggml.scores')
  if (!(scores instanceof Float32Array) || scores.length !== tokens.length)
    fields.fail('tokenizer.ggml.scores', `${tokens.length} numbers`)
  const prefix = fields.boolean('tokenizer.ggml.add_space_prefix', true)
  const [unknown] = fields.tokenIds('tokenizer.ggml.unknown_token_id', tokens.length)
  const replace = (from: string, content: string) => ({ type: 'Replace', pattern: { String: from }, content })
  return {
    addsBos: true,
    json: {
      normalizer: {
        type: 'Sequence',
        normalizers: [...(prefix ? [{ type: 'Prepend', prepend: metaspace }] : []), replace(' ', metaspace)],
      },
      pre_tokenizer: null,
      decoder: {
        type: 'Sequence',
        decoders: [
          replace(metaspace, ' '),
          { type: 'ByteFallback' },
          { type: 'Fuse' },
          ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
        ],
      },
      model: {
        ...bpe,
        unk_token: unknown === undefined ? null : tokens[unknown],
        fuse_unk: true,
        byte_fallback: true,
        vocab: vocab(tokens),
        merges: mergesByScore(tokens, types, scores),
      },
    },
  }
}

/**
 * SentencePiece merges whichever neighbours make the best-scored token; as a ranked list of merges that is every split of
 * every token into two tokens, by score, then by the parts' lengths, longer first (as transformers' converter has it).
 */
function mergesByScore(tokens: string[], types: ArrayLike<number>, scores: Float32Array): [string, string][] {
  const ids = new Map(tokens.map((token, id) => [token, id]))
  const merges: { parts: [string, string]; score: number }[] = []
  tokens.forEach((token, id) => {
    if (types[id] !== tokenType.normal || token.length > 256) return
    const characters = [...token]
    for (let at = 1; at < characters.length; ++at) {
      const parts: [string, string] = [characters.slice(0, at).join(''), characters.slice(at).join('')]
      if (ids.has(parts[0]) && ids.has(parts[1])) merges.push({ parts, score: scores[id] })
    }
  })
  const length = (text: string) => [...text].length
  merges.sort(
    (a, b) => b.score - a.score || length(b.parts[0]) - length(a.parts[0]) || length(b.parts[1]) - length(a.parts[1]),
  )
  return merges.map(({ parts }) => parts)
}
