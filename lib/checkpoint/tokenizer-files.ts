/** Builds a tokenizer from the texts of tokenizer.json, tokenizer_config.json and their companions, all untrusted. */
import { PyramidionError } from '../errors.js'
import { ChatTemplate } from './chat-template.js'
import { Fields, isObject, type UntrustedObject } from './fields.js'
import { parseJsonObject } from './json-file.js'
import type { ModelConfig } from './model-config.js'
import { TextTokenizer } from './text-tokenizer.js'
import type { AddedToken } from './token-pieces.js'
import type { Tokenizer } from './tokenizer.js'

const maximumTokenId = 2 ** 22

/** `files` by name as ModelSource.files() gives them; `path` is the model's, for messages. */
export function openTokenizer(files: ReadonlyMap<string, string>, path: string, model: ModelConfig): Tokenizer {
  const text = files.get('tokenizer.json')
  if (text === undefined) throw new PyramidionError('FILE_NOT_FOUND', `${path}: has no tokenizer (tokenizer.json)`)
  const where = `${path}: tokenizer.json`
  const json = parseJsonObject(text, where)
  const { vocabulary, added } = readVocabulary(json, where)
  const ids = new Map(vocabulary.map((token, id) => [token, id]))

  const config = new Fields(
    parseJsonObject(files.get('tokenizer_config.json') ?? '{}', `${path}: tokenizer_config.json`),
    `${path}: tokenizer_config.json`,
  )
  const specialTokens = readSpecialTokens(config)
  const bosTokenId = ids.get(specialTokens.bos_token) ?? model.bosTokenId
  const eos = ids.get(specialTokens.eos_token)
  const template = files.get('chat_template.jinja') ?? templateOf(config)
  return new TextTokenizer({
    json,
    vocabulary,
    added,
    ...(bosTokenId === undefined ? {} : { bosTokenId }),
    eosTokenIds: [...new Set([...model.eosTokenIds, ...(eos === undefined ? [] : [eos])])],
    addsBos: bosTokenId !== undefined && config.boolean('add_bos_token', startsWithToken(json.post_processor)),
    ...(template === undefined ? {} : { chatTemplate: new ChatTemplate(template, specialTokens, config.where) }),
    where,
  })
}

/** Checks what @huggingface/tokenizers takes on trust: a BPE vocabulary with ids of its own, merges, added tokens. */
function readVocabulary(
  json: UntrustedObject,
  where: string,
): { vocabulary: (string | undefined)[]; added: AddedToken[] } {
  const model = new Fields(json, where).object('model')
  const type = model.string('type', 'BPE')
  if (type !== 'BPE')
    throw new PyramidionError('UNSUPPORTED_FORMAT', `${where}: model type is ${type}; supported is BPE`)
  const vocab = model.object('vocab')
  const vocabulary: (string | undefined)[] = []
  const place = (token: string, id: unknown) => {
    if (!Number.isSafeInteger(id) || (id as number) < 0 || (id as number) > maximumTokenId)
      throw new PyramidionError('INVALID_FILE', `${where}: token "${token}" has an id outside 0 to ${maximumTokenId}`)
    while (vocabulary.length <= (id as number)) vocabulary.push(undefined)
    vocabulary[id as number] = token
  }
  for (const [token, id] of Object.entries(vocab.values)) place(token, id)
  if (new Set(Object.values(vocab.values)).size !== Object.keys(vocab.values).length)
    throw new PyramidionError('INVALID_FILE', `${where}: two tokens have the same id`)
  if (!model.array('merges').every(isMerge)) model.fail('merges', 'pairs of tokens')

  const added = new Fields({ added_tokens: json.added_tokens ?? [] }, where).array('added_tokens').map(entry => {
    if (!isObject(entry) || typeof entry.content !== 'string')
      throw new PyramidionError('INVALID_FILE', `${where}: an added token has no content`)
    place(entry.content, entry.id)
    return {
      id: entry.id as number,
      content: entry.content,
      special: entry.special === true,
      lstrip: entry.lstrip === true,
      rstrip: entry.rstrip === true,
    }
  })
  return { vocabulary, added }
}

function isMerge(merge: unknown): boolean {
  if (typeof merge === 'string') return merge.includes(' ')
  return Array.isArray(merge) && merge.length === 2 && merge.every(part => typeof part === 'string')
}

/** bos_token, eos_token, ... : a string, or an added-token object. */
function readSpecialTokens(config: Fields): Record<string, string> {
  const tokens: Record<string, string> = {}
  for (const name of ['bos_token', 'eos_token', 'unk_token', 'pad_token', 'sep_token', 'cls_token', 'mask_token']) {
    const value = config.get(name)
    const content = isObject(value) ? value.content : value
    if (typeof content === 'string') tokens[name] = content
  }
  return tokens
}

/** One template, or a list of named ones of which "default" is for chat. */
function templateOf(config: Fields): string | undefined {
  const value = config.get('chat_template')
  if (!Array.isArray(value)) return value === undefined ? undefined : config.string('chat_template')
  const entry = value.find(template => isObject(template) && template.name === 'default')
  return typeof entry?.template === 'string' ? entry.template : undefined
}

/** Whether the post-processor puts a special token in front of a text: how newer files say that one belongs there. */
function startsWithToken(processor: unknown): boolean {
  if (!isObject(processor)) return false
  if (Array.isArray(processor.processors)) return processor.processors.some(startsWithToken)
  const first = Array.isArray(processor.single) ? processor.single[0] : undefined
  return isObject(first) && isObject(first.SpecialToken)
}
