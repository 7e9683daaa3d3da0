/**
 * How byte-level BPE texts are cut into words before merging, by the name in `tokenizer.ggml.pre`: regular expressions
 * applied one after the other, and whether a word that is a token is taken whole. Expressions are those of the models' own
 * tokenizer.json files, grouped as llama.cpp's llama-vocab.cpp groups the names.
 */

export interface PreTokenizer {
  names: string[]
  patterns: string[]
  ignoreMerges: boolean
  addsBos: boolean
  /** Unicode normalization form C first. */
  composes: boolean
}

const gpt2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
const contractions = "'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]"
const tail = ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'

const plain = { ignoreMerges: false, addsBos: false, composes: false }

export const preTokenizers: readonly PreTokenizer[] = [
  { ...plain, names: ['gpt-2', 'olmo', 'phi-2', 'mpt', 'jais', 'trillion'], patterns: [gpt2] },
  {
    ...plain,
    names: ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b'],
    patterns: ['\\p{N}', gpt2],
  },
  {
    ...plain,
    names: ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'pixtral', 'midm-2.0'],
    patterns: [`${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${tail}`],
    ignoreMerges: true,
    addsBos: true,
  },
  {
    ...plain,
    names: ['qwen2', 'deepseek-r1-qwen', 'stablelm2', 'megrez'],
    patterns: [`${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${tail}`],
    composes: true,
  },
  {
    ...plain,
    names: ['tekken'],
    patterns: [
      `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`,
    ],
    ignoreMerges: true,
    addsBos: true,
  },
  { ...plain, names: ['default'], patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', gpt2, '\\p{N}+', '[0-9][0-9][0-9]'] },
]
